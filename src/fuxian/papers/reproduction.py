"""The main job: train, evaluate, rule, report. Everything goes into one run folder.

A run of one seed is one folder with config.json, environment.json, log.jsonl, vdl/, checkpoints/, measurements.json,
verdict.json and report.html. A run of several seeds has a folder of the first five for each, ``seed_0`` and so on.

``fuxian.reproduce`` is ``reproduce`` here; the commands of that name call the same functions.
"""

from __future__ import annotations

import json
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.events import Listener, Progress
from fuxian.json_files import write_json
from fuxian.paper import Claim, Paper
from fuxian.papers.contract import PaperFolder
from fuxian.papers.find import find_claim
from fuxian.papers.several_processes import train_on_several
from fuxian.papers.verdict_file import report_name, verdict_document
from fuxian.report.run_report import write_report
from fuxian.training import environment, numeric_mode
from fuxian.training.checkpoints import latest, load_evaluated, weights_of
from fuxian.training.evaluate import Evaluation, evaluate
from fuxian.training.fit import Best, Length, fit
from fuxian.verdict import Measurements, changed, measured_run, rule, smoke, write_measurements
from fuxian.weights import read


@dataclass(frozen=True)
class Plan:
    """What a run folder's config.json fixes when the run starts; a resumed run follows it."""

    folder: PaperFolder
    claim: Claim
    seeds: tuple[int, ...]
    length: Length
    quick: bool
    device: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The recipe's own keyword parameters that are not the claim's: nothing is ruled on with them."""
    processes: int = 1
    """How many share each batch."""

    @property
    def paper(self) -> Paper:
        return self.folder.paper

    def as_dict(self) -> dict[str, Any]:
        one = {"seed": self.seeds[0]} if len(self.seeds) == 1 else {}
        return {
            "paper": self.paper.id,
            "claim": self.claim.id,
            "scope": self.claim.scope,
            **one,
            "seeds": list(self.seeds),
            "iterations": self.length.iterations,
            "log_every": self.length.log_every,
            "checkpoint_every": self.length.checkpoint_every,
            "evaluate_every": self.length.evaluate_every,
            "quick": self.quick,
            "device": self.device,
            "settings": dict(self.settings),
            "processes": self.processes,
            "numeric_mode": numeric_mode.current(),
            **({} if self.folder.is_own else {"folder": str(self.paper.folder.resolve())}),
            "command": self.command,
        }

    @property
    def command(self) -> str:
        """What starts the same run anew."""
        return (
            f"fuxian reproduce {self.folder.name}/{self.claim.id} --seeds {len(self.seeds)}"
            + (" --quick" if self.quick else "")
            + "".join(f" --set {shlex.quote(f'{k}={json.dumps(v)}')}" for k, v in self.settings.items())
            + f" --iterations {self.length.iterations}"
            * (self.length.iterations != self.claim.iterations and not self.quick)
            + f" --processes {self.processes}" * (self.processes > 1)
            + " --reproducible" * (numeric_mode.current() == "portable")
        )


def reproduce(
    name: str | Path,
    *,
    seeds: int | None = None,
    quick: bool = False,
    iterations: int | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: Path | None = None,
    out: Path = Path("runs"),
    device: str = "cpu",
    processes: int = 1,
    workers: int = 0,
    reproducible: bool = False,
    lang: str = "en",
    listener: Listener | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, Any]:
    """Trains, evaluates, rules on the claim and writes a report, as ``fuxian reproduce`` does.

    Args:
        name: ``PAPER[/CLAIM]`` as ``fuxian papers`` lists them, or your own folder with paper.toml and recipe.py.
        seeds: how many runs, each with its own seed; the claim's own if absent.
        quick: a smoke run, which rules on no claim.
        iterations: how many; the claim's own if absent.
        settings: the recipe's own keyword parameters; with any, the run rules on no claim.
        resume: an interrupted run's folder to go on with, by its own plan.
        out: the folder that the run folder is made in.
        device: "cpu" or "gpu".
        processes: how many share each batch, each on a device of its own or on this processor.
        workers: processes that draw the batches ahead; any number gives the same result.
        reproducible: train with the same bits on every processor; Paddle must not have been imported yet.
        lang: the report's language, "en" or "zh".
        listener: hears an event after every step.
        cancel: once it is set, the next step raises ``fuxian.errors.Stopped``; the run can be resumed.

    Returns:
        What verdict.json of the run's folder holds: ``verdict``, ``measured``, ``run``, ``report`` and more.

    Raises InputError for bad input.
    """
    if resume is not None:
        numeric_mode.follow(resume)
    elif reproducible:
        numeric_mode.make_portable()
    import paddle

    if resume is not None:
        plan, run = read_plan(resume), resume
    else:
        folder, claim = find_claim(str(name))
        plan = plan_run(
            folder,
            claim,
            seeds=seeds,
            quick=quick,
            iterations=iterations,
            device=device,
            settings=settings,
            processes=processes,
        )
        run = start_run(plan.paper, claim, out, plan.as_dict())
    paddle.set_device(plan.device)
    return run_plan(plan, run, lang, Progress(listener, cancel), workers=workers)


def run_plan(plan: Plan, run: Path, lang: str, progress: Progress, *, workers: int = 0) -> dict[str, Any]:
    """Trains what the plan says, from where the run's folder stands, evaluates it and rules."""
    weights = train(plan, run, progress, workers=workers)
    return rule_on_run(plan, run, weights, lang, progress)


def rule_on_run(
    plan: Plan, run: Path, weights: dict[int, Path], lang: str, progress: Progress
) -> dict[str, Any]:
    """Evaluates a run's weights and rules."""
    measurements = measure(plan.folder, plan.claim, weights, run, progress, plan.settings)
    parts = [seed_folder(plan, run, seed) for seed in plan.seeds]
    return conclude(
        plan.paper,
        plan.claim,
        measurements,
        run,
        quick=plan.quick,
        lang=lang,
        parts=parts,
        settings=plan.settings,
    )


def evaluate_weights(
    folder: PaperFolder, claim: Claim, weights: Path | None, runs: Path, lang: str, progress: Progress
) -> dict[str, Any]:
    """Evaluates a file of weights, the paper's own if None, in a new run folder and rules."""
    seed = claim.seeds[0]
    file = weights or folder.weights(claim.id)
    config = {
        "paper": folder.paper.id,
        "claim": claim.id,
        "scope": claim.scope,
        "seed": seed,
        "weights": str(file),
        "iterations": trained_iterations(file),
        "command": f"fuxian evaluate {folder.name}/{claim.id}" + (f" --weights {weights}" if weights else ""),
    }
    run = start_run(folder.paper, claim, runs, config)
    measurements = measure(folder, claim, {seed: file}, run, progress)
    # The training of the weights that the paper ships is shown with what they give.
    shipped = folder.paper.folder / "weights" / f"{claim.id}.run"
    parts = [shipped] if weights is None and (shipped / "log.jsonl").is_file() else []
    return conclude(folder.paper, claim, measurements, run, quick=False, lang=lang, parts=parts)


def plan_run(
    folder: PaperFolder,
    claim: Claim,
    *,
    seeds: int | None,
    quick: bool,
    iterations: int | None,
    device: str,
    settings: Mapping[str, Any] | None = None,
    processes: int = 1,
) -> Plan:
    """A run's plan: the claim's own, cut to ``seeds`` seeds or ``iterations`` iterations, or its smoke settings.

    ``settings`` are the recipe's own, other than the claim's; nothing is then ruled on.
    """
    paper = folder.paper
    folder.check_settings(settings or {})
    if seeds is not None and not seeds >= 1:
        raise InputError("--seeds must be at least 1; give how many runs to make.")
    if seeds is not None and claim.subject == "weights" and seeds > 1:
        raise InputError(f"{paper.id}/{claim.id} is a claim about one run's weights; leave --seeds at 1.")
    if not processes >= 1:
        raise InputError("--processes must be at least 1; give how many share each batch.")
    chosen = claim.seeds[:1] if quick else claim.seeds
    if seeds is not None:
        extra = range(max(claim.seeds) + 1, max(claim.seeds) + 1 + max(0, seeds - len(claim.seeds)))
        chosen = (*claim.seeds, *extra)[:seeds]
    short = claim.quick if quick else None
    if quick and short is None:
        raise InputError(
            f"{paper.id}/{claim.id} has no quick settings; add quick = {{...}} to its paper.toml."
        )
    length = Length(
        iterations=iterations or (short.iterations if short else claim.iterations),
        log_every=(short and short.log_every) or claim.log_every,
        checkpoint_every=(short and short.checkpoint_every) or claim.checkpoint_every,
        evaluate_every=(short and short.evaluate_every) or claim.evaluate_every,
    )
    if claim.checkpoint == "best-on-validation" and not length.evaluate_every:
        raise InputError(
            f"{paper.id}/{claim.id} asks for the best checkpoint on the validation split and never evaluates while"
            " it trains; give it evaluate_every in its paper.toml."
        )
    return Plan(folder, claim, chosen, length, quick, device, dict(settings or {}), processes)


def parse_settings(given: Sequence[str]) -> dict[str, Any]:
    """Settings by name from ``key=value`` texts; a value that is no JSON is a text."""
    settings: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--set {text}: give key=value, such as --set learning_rate=0.01.")
        try:
            settings[name] = json.loads(value)
        except (ValueError, RecursionError):
            settings[name] = value
    return settings


def start_run(paper: Paper, claim: Claim, runs: Path, config: dict[str, Any]) -> Path:
    """A new run folder under ``runs`` with config.json and environment.json."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = runs / f"{paper.id}-{claim.id}-{stamp}"
    for attempt in range(1, 100):
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            folder = folder.with_name(f"{paper.id}-{claim.id}-{stamp}-{attempt}")
        except OSError as error:
            raise InputError(
                f"{runs}: no run folder can be made there ({error.strerror}); give another --out."
            ) from error
    write_json(folder / "config.json", config)
    write_json(folder / "environment.json", environment.describe())
    return folder


def read_plan(folder: Path) -> Plan:
    """The plan of a run folder. Raises InputError where there is none."""
    try:
        config = json.loads((folder / "config.json").read_text())
        named = config["folder"] if "folder" in config else config["paper"]
        folder_of_paper, claim = find_claim(f"{named}/{config['claim']}")
        every = {name: int(config[name]) for name in ("log_every", "checkpoint_every", "evaluate_every")}
        length = Length(iterations=int(config["iterations"]), **every)
        seeds = tuple(map(int, config["seeds"]))
        quick, device = bool(config["quick"]), str(config["device"])
        settings = dict(config.get("settings", {}))
        processes = int(config.get("processes", 1))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{folder}: no config.json of a run is there; give a folder that `fuxian reproduce` made."
        ) from error
    least = min(
        length.iterations, length.log_every, length.checkpoint_every, length.evaluate_every + 1, processes
    )
    if least < 1 or not seeds or min(seeds) < 0 or device not in ("cpu", "gpu"):
        raise InputError(
            f"{folder}: config.json holds a plan that cannot be followed; restore it or start anew."
        )
    folder_of_paper.check_settings(settings)
    return Plan(folder_of_paper, claim, seeds, length, quick, device, settings, processes)


def train(plan: Plan, run: Path, progress: Progress, *, workers: int = 0) -> dict[int, Path]:
    """Trains every seed of the plan, each from its newest checkpoint, and returns the weights by seed.

    ``workers`` processes draw the batches ahead; the result is the same for any number of them.
    """
    for number, seed in enumerate(plan.seeds):
        folder = seed_folder(plan, run, seed)
        if folder != run:
            folder.mkdir(exist_ok=True)
            one = replace(plan, seeds=(seed,))
            # The command of the run that this seed belongs to: none gives this seed alone.
            write_json(folder / "config.json", one.as_dict() | {"command": plan.command})
            write_json(folder / "environment.json", environment.describe())
        label = f"training, seed {seed}" + (
            f" ({number + 1} of {len(plan.seeds)})" if len(plan.seeds) > 1 else ""
        )

        def report(step: int, figures: dict[str, float] | None = None, label: str = label) -> None:
            progress("train", label, step, plan.length.iterations, figures)

        if plan.processes > 1:
            train_on_several(folder, plan.processes, device=plan.device, workers=workers, progress=report)
        else:
            fit_seed(plan, folder, seed, workers=workers, progress=report)
    return trained_weights(plan, run)


def fit_seed(
    plan: Plan,
    folder: Path,
    seed: int,
    *,
    workers: int,
    progress: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
) -> None:
    """Trains one seed of the plan in its folder, from its newest checkpoint; under a launcher, this process's share."""
    best = None
    if plan.claim.checkpoint == "best-on-validation":
        best = Best(plan.claim.metric, plan.claim.direction == "higher")
    recipe = plan.folder.recipe(
        plan.claim,
        seed=seed,
        iterations=plan.length.iterations,
        eval_split="validation",
        settings=plan.settings,
    )
    fit(recipe, folder, seed=seed, length=plan.length, workers=workers, best=best, progress=progress)


def trained_weights(plan: Plan, run: Path) -> dict[int, Path]:
    """Each seed's weights after its newest checkpoint. Raises InputError where a seed has none."""
    weights = {}
    for seed in plan.seeds:
        newest = latest(seed_folder(plan, run, seed) / "checkpoints")
        if newest is None:
            raise InputError(
                f"{run}: seed {seed} has no checkpoint yet; go on with `fuxian train --resume {run}`."
            )
        weights[seed] = weights_of(newest)
    return weights


def reached(plan: Plan, run: Path) -> str:
    """Where a run that was stopped stands, in words: the step of its newest checkpoint."""
    for seed in reversed(plan.seeds):
        newest = latest(seed_folder(plan, run, seed) / "checkpoints")
        if newest is not None:
            step = int(newest.name.removeprefix("step_"))
            return f"the checkpoint of seed {seed} at step {step:,} of {plan.length.iterations:,}"
    return "the beginning: no step was finished"


def seed_folder(plan: Plan, run: Path, seed: int) -> Path:
    return run if len(plan.seeds) == 1 else run / f"seed_{seed}"


def measure(
    folder: PaperFolder,
    claim: Claim,
    weights: dict[int, Path],
    run: Path,
    progress: Progress,
    settings: Mapping[str, Any] | None = None,
) -> Measurements:
    """Evaluates each seed's weights on the test split and writes measurements.json."""
    evaluations: dict[int, Evaluation] = {}
    for seed, file in weights.items():
        recipe = folder.recipe(claim, seed=seed, eval_split="test", settings=settings)
        model = load_evaluated(recipe, file)
        evaluations[seed] = evaluate(recipe, model, _labelled(progress, f"testing, seed {seed}"))
    folder.pictures(claim, next(iter(weights.values())), run / "pictures")
    measurements = Measurements(
        tuple(measured_run(claim, seed, one.figures, one.units) for seed, one in evaluations.items())
    )
    figures = [one.figures for one in evaluations.values()]
    means = {name: sum(one[name] for one in figures) / len(figures) for name in figures[0]}
    about = {
        "paper": folder.paper.id,
        "claim": claim.id,
        "scope": claim.scope,
        "metric": claim.metric,
        "iterations": {str(seed): trained_iterations(file) for seed, file in weights.items()},
        "figures": means,
        "curves": folder.curves(claim, list(evaluations.values())),
    }
    write_measurements(run / "measurements.json", measurements, about)
    return measurements


def trained_iterations(weights: Path) -> int | None:
    """How many iterations a file of weights says it was trained for; None where it does not say."""
    said = read(weights).metadata.get("iterations", "")
    return int(said) if said.isdecimal() else None


def _labelled(progress: Progress, label: str) -> Callable[[int, int], None]:
    return lambda done, total: progress("test", label, done, total)


def conclude(
    paper: Paper,
    claim: Claim,
    measurements: Measurements,
    run: Path,
    *,
    quick: bool,
    lang: str,
    parts: list[Path],
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Rules on the claim, writes verdict.json and report.html, and returns the verdict document."""
    ruling = partial(changed, settings=settings) if settings else smoke if quick else rule
    verdict = ruling(claim, measurements)
    document = verdict_document(paper, claim, verdict, run, settings or {}, lang)
    write_json(run / "verdict.json", document)
    write_report([run, *(part for part in parts if part != run)], run / report_name(lang), lang, paper)
    return document
