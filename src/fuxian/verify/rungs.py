"""Where a ruling's figure comes from: predictions on the drawn inputs, with the submitted weights and with controls.

The strongest way that works is taken, down to the lowest that the terms allow (``terms.RUNGS``). The drawn batches are
predicted in parts, and the controls' runs are parts of the same kind, in an order drawn by lot: no run can be told from
another by its paths, mounts, file times, place in the order or environment.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian import deadline
from fuxian.errors import InputError
from fuxian.sandbox import Limits, ReadOnly, SaveLimits, Scratch, run
from fuxian.verify.batches import batch_name
from fuxian.verify.commands import GIVEN, MOST_SAVED, OUT, Done, Workspace, output_place, run_command
from fuxian.verify.control_weights import Kind, write_control
from fuxian.verify.entrant_weights import load_weights
from fuxian.verify.environment import PACKAGE, Environment
from fuxian.verify.examiner import Test
from fuxian.verify.numbers import read_numbers
from fuxian.verify.reasons import Failed, Reason, require_ok
from fuxian.verify.terms import RUNGS, Terms
from fuxian.weights import save_tensors

PARTS = 4
"""The drawn test is predicted in so many runs where a run executes code of the submission."""
BATCHES_OF_CONTROL = 4
"""A control predicts at most so many batches where no code of the submission could notice."""
OUR_ROOM = 4 * MOST_SAVED
"""Bytes that one of our own programs may write: maps of a hundred pictures take half a gibibyte."""
MISFIT = 2
"""The exit code by which our programs say that weights or network do not fit."""
DEEPEST = 16
"""Dots in the name of predictions; each is a level of a tree of outputs."""
FIXED_TIME = 1_500_000_000
"""Seconds since 1970: the time of every file that is given to a run."""
Predictions = dict[str, np.ndarray]
Run = Literal["submitted"] | Kind
CONTROLS: tuple[Kind, ...] = ("shuffled", "fresh", "nudged")
"""What runs where code of the submission runs: it may know its own weights. Where none does, the first two do."""


@dataclass
class Controlled:
    """What a control's weights gave: predictions of ``batches``, or what came instead."""

    batches: list[int]
    predictions: Predictions | None = None
    refused: Failed | None = None


@dataclass
class Predicted:
    """Predictions of every drawn batch, by which rung, and those of the controls."""

    rung: int
    why_not_higher: list[str]
    predictions: Predictions
    controls: dict[Kind, Controlled]
    run_controls: Callable[[], dict[Kind, Controlled]] | None = None
    """Makes the controls, where they have not been made among the other runs."""

    def complete(self) -> None:
        """Makes the controls. Raises Failed where there can be none."""
        if self.run_controls is not None:
            self.controls, self.run_controls = self.run_controls(), None


class Unfit(Exception):
    """A rung that this submission offers no way to; the sentence says why."""


@dataclass(frozen=True)
class Scene:
    """What every rung works on."""

    at: Workspace
    terms: Terms
    test: Test
    """Its inputs alone are seen by what runs."""
    weights: Path
    """The submitted checkpoint."""
    seed: int
    """Of the controls' weights."""

    def given(self, kind: Run) -> Path:
        """A file of weights for a run: the submitted ones or a control's, in the same format."""
        out = _new_place(self.at) / f"weights{self.weights.suffix}"
        if kind == "submitted":
            shutil.copyfile(self.weights, out)
        else:
            try:
                write_control(kind, self.weights, out, self.seed)
            except InputError as error:
                raise Failed(Reason.NOT_SHOWN, f"no control can be made: {error}") from error
        return _timeless(out)

    def inputs(self, batches: list[int]) -> Path:
        """A folder with these batches."""
        folder = _new_place(self.at)
        for number in batches:
            file = folder / f"{batch_name(number)}.npz"
            shutil.copyfile(self.test.inputs / file.name, file)
            _timeless(file)
        return folder

    @property
    def all_batches(self) -> list[int]:
        return list(range(self.test.batches))

    @property
    def few_batches(self) -> list[int]:
        return self.all_batches[:BATCHES_OF_CONTROL]


def predict(scene: Scene) -> Predicted:
    """Predicts on the strongest rung that works, the lowest of the terms at least.

    Raises Failed where no allowed rung works, or a run fails.
    """
    why: list[str] = []
    for rung, way in ((1, _in_own_model), (2, _by_own_graph), (3, _by_own_predict)):
        if rung > scene.terms.lowest_rung:
            break
        try:
            made = way(scene)
        except Unfit as error:
            why.append(f"{RUNGS[rung]}: {error}")
            continue
        made.why_not_higher = why
        return made
    raise Failed(Reason.RUNG, "no figure can be had in a way that the terms allow: " + "; ".join(why) + ".")


def _in_own_model(scene: Scene) -> Predicted:
    shuffled = _new_place(scene.at) / "shuffled.safetensors"
    bare = shuffled.with_name("bare.safetensors")
    try:
        # No code of the submission is there to notice the format.
        save_tensors(bare, load_weights(scene.weights))
        write_control("shuffled", bare, shuffled, scene.seed)
    except InputError as error:
        raise Failed(Reason.NOT_SHOWN, f"no control can be made: {error}") from error
    few = [batch_name(number) for number in scene.few_batches]
    made = _run_own_model(
        scene,
        [scene.given("submitted"), _timeless(shuffled)],
        {
            "submitted": {"weights": 0},
            "shuffled": {"weights": 1, "batches": few},
            "fresh": {"fresh": scene.seed % 2**31, "batches": few},
        },
    )
    controls: dict[Kind, Controlled] = {
        kind: _controlled(scene.few_batches, made / f"{kind}.npz") for kind in CONTROLS if kind != "nudged"
    }
    return Predicted(1, [], _read(made / "submitted.npz", scene.all_batches), controls)


def _run_own_model(scene: Scene, weights: list[Path], jobs: dict[str, dict[str, Any]]) -> Path:
    """The organiser's model on every drawn batch, or those that a job names; the folder with a file of predictions
    for each job. A job's ``weights`` is the place in the list of files."""
    at, terms = scene.at, scene.terms
    own = terms.paper_folder.is_relative_to(_PAPERS)
    paper = f"{PACKAGE}/fuxian/papers/{terms.paper_folder.name}" if own else f"{GIVEN}/paper"
    places = [f"{GIVEN}/{number}{file.suffix}" for number, file in enumerate(weights)]
    asked = [
        {
            **job,
            **({"weights": places[job["weights"]]} if "weights" in job else {}),
            "out": f"{OUT}/{name}.npz",
        }
        for name, job in jobs.items()
    ]
    request = {"paper": paper, "claim": terms.claim.id, "inputs": f"{GIVEN}/inputs", "jobs": asked}
    mounts = [
        *(ReadOnly(file, place) for file, place in zip(weights, places, strict=True)),
        ReadOnly(scene.inputs(scene.all_batches), f"{GIVEN}/inputs"),
        *([] if own else [ReadOnly(terms.paper_folder, paper)]),
    ]
    return _run_program(at, "own_model", [json.dumps(request)], mounts)


def predict_also(scene: Scene, rung: int) -> tuple[list[int], Predictions]:
    """Predictions of a few batches, and which, with the scene's weights on a rung that the submitted ones took.

    Raises Failed or Unfit where these weights give none.
    """
    few = scene.few_batches
    if rung == 1:
        names = [batch_name(number) for number in few]
        made = _run_own_model(scene, [scene.given("submitted")], {"also": {"weights": 0, "batches": names}})
        return few, _read(made / "also.npz", few)
    if rung == 2:
        return few, _graph_of(scene, "submitted", few)
    return few, _predict_part(scene, "submitted", few)


def predict_known(scene: Scene, weights: Path) -> Predictions:
    """What somebody's known weights give on a few batches in the organiser's own model.

    Raises Unfit where they do not fit it.
    """
    names = [batch_name(number) for number in scene.few_batches]
    copy = _new_place(scene.at) / f"weights{weights.suffix}"
    shutil.copyfile(weights, copy)
    made = _run_own_model(scene, [_timeless(copy)], {"known": {"weights": 0, "batches": names}})
    return _read(made / "known.npz", scene.few_batches)


def _by_own_graph(scene: Scene) -> Predicted:
    export = scene.at.manifest.commands.get("export")
    if export is None or not any("{checkpoint}" in text for text in export.run):
        raise Unfit("the manifest has no command export that takes a {checkpoint}")
    try:
        predictions = _graph_of(scene, "submitted", scene.all_batches)
    except Failed as error:
        if error.reason is Reason.CRASH:
            raise Unfit(error.sentence.rstrip(".")) from error
        raise

    def controls() -> dict[Kind, Controlled]:
        return {kind: _attempt(kind, scene.few_batches, partial(_graph_of, scene)) for kind in CONTROLS}

    return Predicted(2, [], predictions, {}, controls)


def _graph_of(scene: Scene, kind: Run, batches: list[int]) -> Predictions:
    at = scene.at
    exported = run_command(at, "export", _label(at), checkpoint=scene.given(kind), bare=True)
    mounts = [
        ReadOnly(exported.made / output_place(at.manifest, "export"), f"{GIVEN}/exported"),
        ReadOnly(scene.inputs(batches), f"{GIVEN}/inputs"),
    ]
    made = _run_program(at, "own_graph", [f"{GIVEN}/exported", f"{GIVEN}/inputs", OUT], mounts)
    return _read(made / "predictions.npz", batches)


def _by_own_predict(scene: Scene) -> Predicted:
    command = scene.at.manifest.commands.get("predict")
    if command is None or command.output is None:
        raise Unfit("the manifest has no command predict with an output")
    for placeholder in ("{inputs}", "{checkpoint}"):
        if not any(placeholder in text for text in command.run):
            raise Unfit(f"predict takes no {placeholder}")
    count = next(n for n in range(PARTS, 0, -1) if scene.test.batches % n == 0)
    size = scene.test.batches // count
    parts = [scene.all_batches[start : start + size] for start in range(0, scene.test.batches, size)]
    runs: list[tuple[Run, list[int]]] = [("submitted", part) for part in parts]
    runs += [(kind, secrets.choice(parts)) for kind in CONTROLS]
    random.SystemRandom().shuffle(runs)
    made = Predicted(3, [], {}, {})
    for kind, batches in runs:
        if kind == "submitted":
            made.predictions |= _predict_part(scene, kind, batches)
        else:
            made.controls[kind] = _attempt(kind, batches, partial(_predict_part, scene))
    return made


def _predict_part(scene: Scene, kind: Run, batches: list[int]) -> Predictions:
    at = scene.at
    command = at.manifest.commands["predict"]
    assert command.output is not None  # noqa: S101 - checked before
    done = run_command(
        at,
        "predict",
        _label(at),
        checkpoint=scene.given(kind),
        inputs=scene.inputs(batches),
        without=[command.output] if output_place(at.manifest, "predict") == "work" else [],
        bare=True,
    )
    return _read(done.made / output_place(at.manifest, "predict") / command.output, batches)


def _attempt(kind: Kind, batches: list[int], run: Callable[[Run, list[int]], Predictions]) -> Controlled:
    try:
        return Controlled(batches, run(kind, batches))
    except (Failed, Unfit) as error:
        failed = error if isinstance(error, Failed) else Failed(Reason.CRASH, str(error))
        if failed.reason in (Reason.CANCELLED, Reason.INTERNAL, Reason.NOT_SHOWN):
            raise failed from error
        return Controlled(batches, refused=failed)


def _controlled(batches: list[int], file: Path) -> Controlled:
    return _attempt("fresh", batches, lambda kind, numbers: _read(file, numbers))


_PAPERS = Path(__file__).resolve().parents[1] / "papers"


def _run_program(at: Workspace, program: str, arguments: list[str], mounts: list[ReadOnly]) -> Path:
    """Runs one of our programs in the organiser's own environment, without code of the submission; the folder of what
    it wrote.

    Raises Unfit where it says that weights or network do not fit, and Failed where it does not end well.
    """
    label = _label(at)
    made = at.place / label
    made.mkdir()
    environment = Environment(Path(sys.executable), "", "reused", {})
    outcome = run(
        [str(environment.python), "-P", "-m", f"fuxian.verify.{program}", *arguments],
        mounts=[
            *environment.mounts,
            *mounts,
            Scratch(OUT, OUR_ROOM, save_to=made / "out", save=SaveLimits(size=OUR_ROOM, entries=100)),
        ],
        limits=Limits(
            wall=deadline.left(at.allowance.seconds),
            cpus=at.allowance.cpus,
            memory=at.allowance.memory,
            pids=at.allowance.pids,
            output=at.allowance.output,
        ),
        env={**environment.variables, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        cwd=OUT,
        cancel=at.cancel,
        allow_unsandboxed=at.allow_unsandboxed,
    )
    (made / "stdout.txt").write_bytes(outcome.stdout)
    (made / "stderr.txt").write_bytes(outcome.stderr)
    at.done.append(Done(label, outcome, made))
    if outcome.exit_code == MISFIT:
        said = outcome.stderr.decode("utf-8", "replace").strip().splitlines() or ["they do not fit"]
        raise Unfit("".join(c for c in said[-1] if c.isprintable())[:300].rstrip("."))
    require_ok(program.replace("_", " "), outcome)
    return made / "out"


def _read(file: Path, batches: list[int]) -> Predictions:
    """The predictions of exactly these batches, finite numbers all. Raises Failed for anything else."""
    try:
        found = read_numbers(file)
    except InputError as error:
        raise Failed(Reason.METRIC_MISSING, f"predict: {error}") from error
    asked = {batch_name(number) for number in batches}
    given = {name.partition(".")[0] for name in found}
    if given != asked:
        odd = sorted(given ^ asked)[:3]
        raise Failed(
            Reason.METRIC_INVALID,
            f"predictions of exactly {len(asked)} batches were asked for, and these differ: {', '.join(odd)[:100]}.",
        )
    for name, array in found.items():
        if name.count(".") > DEEPEST:
            raise Failed(
                Reason.METRIC_INVALID,
                f"the predictions {name[:60]!r} lie in more than {DEEPEST} trees of outputs.",
            )
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise Failed(Reason.METRIC_INVALID, f"the predictions {name[:60]!r} are not all finite numbers.")
    return found


def _new_place(at: Workspace) -> Path:
    """A folder whose name tells nothing: a run can read it in its list of mounts."""
    folder = at.place / f"given-{secrets.token_hex(8)}"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def _timeless(file: Path) -> Path:
    file.chmod(0o644)
    os.utime(file, (FIXED_TIME, FIXED_TIME))
    return file


def _label(at: Workspace) -> str:
    """Of a command, as the evidence lists it."""
    return f"run-{len(at.done) + 1:02d}"
