"""Replay: do the first steps of the training, from the logged seed, give the logged losses?

The training is started as it was, and stopped as soon as its log has the steps that are compared; so a schedule over
all steps is the one of the log. The submitted log is taken out of the submission first.

A log of the portable numeric mode is replayed in that mode, and one of the fast mode with the variables that it names;
there it may come out to the last digit. Where it does not, and for every other log, float32 decides what may be asked:
processors round differently, and a training amplifies it. So the training runs with one thread and with two; where the
log is not what these give, it runs with other instruction sets and perturbed weights too, and what all these differ by,
step by step, is what the log may differ by. From the step on at which they part, nothing is compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any, Literal

from fuxian.submission.log_lines import LogLine, parse_log_lines
from fuxian.submission.recipe_commands import PERTURBATION_VARIABLE
from fuxian.training.chain import Chain
from fuxian.training.numeric_mode import PORTABLE
from fuxian.verify.commands import OUT, WORK, Done, Workspace, output_place, run_command
from fuxian.verify.environment import PACKAGE
from fuxian.verify.intervals import read_log_chain
from fuxian.verify.reasons import Failed, Reason

SECONDS = 1800.0
"""Wall clock limit of each of the two runs."""
STEADY = 1e-4
"""Relative: other processors and libraries add in other orders, and a few steps amplify that."""
OPEN = 0.005
"""Relative. Once the runs differ by more, another instruction set may give anything: later steps are not compared."""
WIDER = 3.0
"""So many times the width of all runs is allowed beyond them on either side: a processor not tried may lie there."""
FEWEST = 2
"""Steps that must be left: the first loss alone does not show what the optimizer does."""
PERTURBATION = "1e-7"
"""Relative: about one unit in the last place of float32."""
LARGEST_LOG = 50_000_000
STOP_AFTER = f"{PACKAGE}/fuxian/verify/stop_after.py"

Status = Literal["pass", "fail", "not_applicable"]


@dataclass(frozen=True)
class Variant:
    """One way to run the training again: threads and variables of the environment."""

    name: str
    threads: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)


AS_IT_IS = (Variant("1-thread"), Variant("2-threads", 2))
PORTABLY = Variant("portable", 1, PORTABLE)
OTHERWISE = (
    PORTABLY,
    Variant("sse", 1, {"MKL_CBWR": "COMPATIBLE"}),
    Variant(
        "avx", 1, {"MKL_DEBUG_CPU_TYPE": "4", "MKL_ENABLE_INSTRUCTIONS": "AVX", "ONEDNN_MAX_CPU_ISA": "AVX"}
    ),
    Variant(
        "avx2",
        1,
        {"MKL_DEBUG_CPU_TYPE": "5", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ),
    Variant("perturbed", 1, {PERTURBATION_VARIABLE: PERTURBATION}),
)
"""Instruction sets that the log's processor may have used. Only commands of a recipe heed the perturbation."""


@dataclass(frozen=True)
class Step:
    """One logged loss, the least and the greatest that the runs gave, and how far beyond them it may lie."""

    step: float
    epoch: float | None
    logged: float
    low: float
    high: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return self.low - self.tolerance <= self.logged <= self.high + self.tolerance


@dataclass(frozen=True)
class Replay:
    """What came of a replay. ``runs`` names how the training was run again; ``exact`` that every digit came out."""

    status: Status
    detail: str
    steps: tuple[Step, ...] = ()
    runs: tuple[str, ...] = ()
    exact: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "detail": self.detail,
            "exact": self.exact,
            "runs": list(self.runs),
            "steps": [asdict(step) for step in self.steps],
        }


def replay(at: Workspace, steps: int) -> Replay:
    """Replays the first ``steps`` logged steps of the claim's training log.

    Raises Failed where the training does not run, or its losses are not the logged ones.
    """
    path = at.manifest.log_of(at.claim)
    if path is None or at.manifest.log is None:
        return Replay("not_applicable", "the manifest names no training log")
    if at.manifest.log.seed is None:
        return Replay("not_applicable", "the manifest names no seed of the logged training")
    if "train" not in at.manifest.commands:
        return Replay("not_applicable", "the manifest has no command to train")
    logged = _losses(at, at.manifest.folder / path)
    first = list(takewhile(lambda line: _within(line, steps, logged[0]), logged))
    if len(first) < FEWEST:
        return Replay("not_applicable", f"the log has no losses of single steps among its first {steps}")

    def run(variant: Variant) -> list[LogLine]:
        return _losses(at, _log_of_run(at, path, len(first), variant))

    return judge(first, run, as_logged(read_log_chain(at)))


def as_logged(chain: Chain | None) -> Variant | None:
    """The way to run that the log names, in which every digit may come out; None where it names none."""
    if chain is None:
        return None
    if chain.numeric_mode == "portable":
        return PORTABLY
    return Variant("as-logged", 1, chain.variables) if chain.variables else None


def judge(
    logged: list[LogLine], run: Callable[[Variant], list[LogLine]], exactly: Variant | None = None
) -> Replay:
    """Compares a log with what ``run`` gives, in as many variants as it takes; first the one in which every digit may
    come out.

    Raises Failed where the training draws without its seed, or the log is not what it gives.
    """
    made: dict[str, list[LogLine]] = {}
    if exactly is not None:
        made[exactly.name] = run(exactly)
        steps = compare(logged, [made[exactly.name]])
        digits = [2 * line.fields["loss"].half_digit for line in logged]
        if all(abs(step.logged - step.low) <= digit for step, digit in zip(steps, digits, strict=True)):
            detail = f"{len(steps)} logged losses were replayed to the last digit"
            return Replay("pass", detail, steps, (exactly.name,), exact=True)
    names: list[str] = []
    runs: list[list[LogLine]] = []
    for variant in (*AS_IT_IS, *OTHERWISE):
        names.append(variant.name)
        runs.append(made[variant.name] if variant.name in made else run(variant))
        if len(runs) == len(AS_IT_IS):
            _require_steadiness(compare(logged, runs)[0])
        if len(runs) >= len(AS_IT_IS) and (near := _what_one_gives(logged, runs)):
            return Replay("pass", f"{len(near)} logged losses were replayed", near, tuple(names))
    steps = compare(logged, runs)
    for step in steps:
        if not step.agrees:
            raise Failed(
                Reason.REPLAY_MISMATCH,
                f"step {step.step:g}: the log says loss {step.logged:.6g}, the replayed training gives"
                f" {step.low:.6g} to {step.high:.6g} with {len(runs)} ways to round (tolerance {step.tolerance:.2g}).",
            )
    if len(steps) < FEWEST:
        raise Failed(
            Reason.REPLAY_UNSTABLE,
            f"from step {logged[len(steps)].step:g} on, rounding alone moves the loss by more than {100 * OPEN:g} %,"
            " which leaves too little to compare; train with --reproducible, so that a replay is exact.",
        )
    all_of_them = f" of {len(logged)}" if len(steps) < len(logged) else ""
    later = f"; later ones part by more than {100 * OPEN:g} %" if all_of_them else ""
    detail = f"{len(steps)}{all_of_them} logged losses were replayed within what rounding does{later}"
    return Replay("pass", detail, steps, tuple(names))


def _within(line: LogLine, steps: int, first: LogLine) -> bool:
    # Some logs count steps anew in each epoch.
    return line.step is not None and line.step <= steps and line.epoch == first.epoch


def logged_cost(at: Workspace) -> float:
    """Seconds a step, as the submitted log says; 0 where it says none."""
    log = at.manifest.log_of(at.claim)
    if at.manifest.log is None or log is None:
        return 0.0
    lines = _losses(at, at.manifest.folder / log)
    costs = [line.fields["batch_cost"].value for line in lines if "batch_cost" in line.fields]
    return median(costs) if costs else 0.0


def _losses(at: Workspace, file: Path) -> list[LogLine]:
    assert at.manifest.log is not None  # noqa: S101 - replay() has checked
    if not file.is_file():
        raise Failed(Reason.LAYOUT, f"the training log {file.name} is missing; train must write it anew.")
    with file.open("rb") as opened:
        text = opened.read(LARGEST_LOG).decode("utf-8", "replace")
    lines = parse_log_lines(text, at.manifest.log, at.claim.metric, file.name)
    return [line for line in lines if "loss" in line.fields]


def _log_of_run(at: Workspace, logged: str, lines: int, variant: Variant) -> Path:
    """Trains until the log has so many losses; the file of that log."""
    assert at.manifest.log is not None  # noqa: S101 - replay() has checked
    written = at.manifest.commands["train"].output
    place = output_place(at.manifest, "train")
    inside = "-" if written is None else f"{OUT if place == 'out' else WORK}/{written}"
    name = at.manifest.log.names.get("loss", "loss")
    before = [str(at.environment.python), "-I", STOP_AFTER, str(lines), name, inside]
    done = run_command(
        at,
        "train",
        f"replay-{variant.name}",
        seed=at.manifest.log.seed,
        threads=variant.threads,
        seconds=SECONDS,
        before=before,
        without=[logged, *([written] if written is not None and place == "work" else [])],
        variables=variant.variables,
    )
    return _log_file(done, place, written)


def _log_file(done: Done, place: str, written: str | None) -> Path:
    return done.made / "stdout.txt" if written is None else done.made / place / written


def compare(logged: list[LogLine], runs: list[list[LogLine]]) -> tuple[Step, ...]:
    """The logged losses beside those of all runs, step by step, up to where the runs part.

    Raises Failed where a run does not log a step, or a loss is not finite.
    """
    found = [_by_step(run) for run in runs]
    compared: list[Step] = []
    width = 0.0
    for line in logged:
        key = (line.epoch, line.step)
        assert line.step is not None  # noqa: S101 - replay() has chosen such
        if any(key not in one for one in found):
            raise Failed(
                Reason.REPLAY_MISMATCH,
                f"step {line.step:g} is logged, and the replayed training logs no such step.",
            )
        loss = line.fields["loss"]
        values = [one[key] for one in found]
        low, high = min(values), max(values)
        if not all(map(math.isfinite, (loss.value, *values))):
            raise Failed(Reason.REPLAY_MISMATCH, f"step {line.step:g}: a loss is not finite.")
        size = max(abs(low), abs(high))
        if compared and high - low > OPEN * size:
            break
        # What has drifted apart does not come together again.
        width = max(width, (high - low) / size if size else 0.0)
        tolerance = 2 * loss.half_digit + STEADY * abs(loss.value) + WIDER * width * size
        compared.append(Step(line.step, line.epoch, loss.value, low, high, tolerance))
    return tuple(compared)


def _what_one_gives(logged: list[LogLine], runs: list[list[LogLine]]) -> tuple[Step, ...]:
    """The comparison with a run that gives all the logged losses; empty where none does."""
    alone = (compare(logged, [one]) for one in runs)
    return next((steps for steps in alone if all(step.agrees for step in steps)), ())


def _by_step(lines: list[LogLine]) -> dict[tuple[float | None, float | None], float]:
    return {(line.epoch, line.step): line.fields["loss"].value for line in reversed(lines)}


def _require_steadiness(first: Step) -> None:
    if first.high - first.low > OPEN * max(abs(first.low), abs(first.high)):
        raise Failed(
            Reason.REPLAY_UNSTABLE,
            f"step {first.step:g}: the same seed gave the losses {first.low:.6g} and {first.high:.6g}; fix every seed.",
        )
