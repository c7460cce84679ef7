"""The whole comparison of a port on several processes with the same on one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fuxian.align.alignment import Alignment
from fuxian.align.compare import TensorComparison
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.mapping import Links
from fuxian.align.processes.judge import JUDGES
from fuxian.align.recording import Recording, RecordingWriter
from fuxian.align.stage_names import STAGES
from fuxian.align.stages import Pair, StageResult
from fuxian.errors import InputError
from fuxian.events import Progress
from fuxian.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from fuxian.align.processes.run import Given, Run


def align_processes(
    port: str,
    reference: str,
    processes: int,
    *,
    stages: Sequence[str] = STAGES,
    progress: Progress | None = None,
) -> Alignment:
    """Compare a Paddle recipe on ``processes`` processes of this machine with one on one process.

    ``reference`` is usually the port itself. Everything runs in float64, by the training step of ``fuxian train``,
    on the joint batches that one process draws.

    Raises InputError for a bad recipe, one that cannot be trained or is not Paddle's, a joint batch that cannot be
    shared out, and stages that are not compared here.
    """
    chosen = tuple(stage for stage in JUDGES if stage in stages)
    if not chosen:
        raise InputError(
            f"none of these stages is compared on several processes; those that are: {', '.join(JUDGES)}."
        )
    from fuxian.align.processes.launched import FailedError, run_on_several
    from fuxian.align.processes.run import ready

    progress = progress or Progress()
    with tempfile.TemporaryDirectory(prefix="fuxian-processes-") as temporary, ready():
        folder = Path(temporary)
        progress("align", "one process on the joint batches")
        began = time.monotonic()
        alone = run_alone(reference, processes)
        progress("align", f"{processes} processes on their shares")
        sides = sides_of(folder, port, reference, alone.given.dtype)
        try:
            (shares,) = run_on_several([(port, alone.given)], processes, folder, time.monotonic() - began)
        except FailedError as error:
            return _failed(str(error), sides, processes)
        progress("align", "comparing, and looking for the cause")
        return conclude(alone, shares, sides, chosen)


@dataclass(frozen=True)
class Alone:
    """What one process did: with what every process is given, once more moved by ``nudge``, and ``whole`` with the
    joint batch's statistics where ``joint`` took each share's."""

    recipe: Recipe
    given: Given
    joint: Run
    moved: Run
    nudge: float
    whole: Run


def run_alone(source: str, size: int) -> Alone:
    """The reference's side: one process on the joint batches. Raises InputError as ``align_processes`` does."""
    from fuxian.align.processes.judge import NUDGE, NUDGE_FLOAT32, in_float32
    from fuxian.align.processes.run import Given, Way, drawn, run, shares
    from fuxian.align.record import said

    recipe = _trainable(load_recipe(source), source)
    batches, begins = drawn(recipe, 0, 1)
    given = Given(batches, begins, {}, [])
    shares(given, recipe, size)
    try:
        try:
            joint = whole = run(recipe, given, size=size)
        except Exception:  # Some of Paddle's kernels have no float64, as that of ClipGradByNorm.
            given = replace(given, dtype="float32")
            joint = whole = run(recipe, given, size=size)
        by_shares = bool(whole.norms) and not any(whole.norms.values())
        if by_shares:
            joint = run(recipe, given, size=size, way=Way(by_shares=True))
            joint.drawn, joint.begins = whole.drawn, whole.begins
        given = replace(given, weights=joint.initial, draws=joint.draws)
        nudge = NUDGE_FLOAT32 if given.dtype == "float32" or in_float32(joint) else NUDGE
        moved = run(recipe, given, size=size, way=Way(by_shares, nudge=nudge))
        moved.drawn, _ = drawn(recipe, 0, 1)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{source} fails on one process: {type(error).__name__}: {said(error)}") from error
    return Alone(recipe, given, joint, moved, nudge, whole)


def conclude(alone: Alone, shares: list[Run], sides: Pair, stages: Sequence[str]) -> Alignment:
    """Judge what the processes did with their shares, and find the cause of the first difference."""
    from fuxian.align.processes.causes import UNKNOWN, Evidence, diagnose
    from fuxian.align.processes.judge import Together, judge_all
    from fuxian.align.processes.run import Way, run

    size, joint = len(shares), alone.joint
    together = Together(shares, joint, alone.moved, alone.nudge)
    results = judge_all(together, tuple(stages))
    verdicts = {result.verdict for result in results}
    verdict = next((v for v in ("diverged", "inconclusive", "aligned") if v in verdicts), "inconclusive")
    alignment = Alignment(verdict, results, sides, notes=_notes(alone, shares))
    first = next((result for result in results if result.verdict == "diverged"), None)
    if first is None:
        return alignment
    worst = _place(first)
    place = _layer_of(worst, first)
    at = int(first.facts.get("batch", 0))
    begun = _begun(alone.given, joint, at, alone.recipe.accumulate)
    plain = Way(by_shares=joint is not alone.whole)
    evidence = Evidence(together, lambda way: run(alone.recipe, begun, size=size, way=way), plain, at)
    try:
        alignment.diagnosis = diagnose(first, place, evidence)
    except Exception:  # A run in another way may fail where the plain one did not.
        alignment.diagnosis = UNKNOWN
    alignment.first = Divergence(
        first.stage,
        place,
        worst.reference_name,
        "parameter",
        worst.error,
        worst.tolerance,
        facts={"step": at},
    )
    return alignment


def _notes(alone: Alone, shares: list[Run]) -> list[str]:
    notes, joint, whole = [], alone.joint, alone.whole
    if joint is not whole:
        here, there = (run.steps[0].losses["total"] for run in (joint, whole))
        notes.append(
            f"batch norm's statistics are each process's own ({len(joint.norms)} layers, none synchronised), and were"
            f" taken so on one process too; those of the joint batch would make the first loss {there:.6g} in place of"
            f" {here:.6g}: convert to SyncBatchNorm if the paper's batch is the joint one. The first process's running"
            " statistics are kept"
        )
    if alone.given.dtype == "float32":
        notes.append("compared in float32: the port does not run in float64")
    if any(joint.norms.values()):
        notes.append(
            "SyncBatchNorm has no kernel on a CPU: Fuxian computed it, with sums over the processes, in its place"
        )
    if shares[0].spread:
        names = ", ".join(shares[0].spread)
        notes.append(
            f"spread over the processes, and not compared where each holds a part of its own: {names}"
        )
    left = ", ".join(stage for stage in STAGES if stage not in JUDGES)
    return [*notes, f"not compared on several processes: {left}"]


def _begun(given: Given, joint: Run, at: int, accumulate: int) -> Given:
    """The batch ``at``, with those that are accumulated with it, from the weights that the joint run had there."""
    first = at // accumulate * accumulate
    held = joint.steps[first - 1] if first else None
    weights = given.weights if held is None else {**held.parameters, **held.buffers}
    part = slice(first, at + 1)
    from fuxian.align.processes.run import Given

    return Given(
        given.batches[part], [False] * (at + 1 - first), weights, given.draws[part], first, given.dtype
    )


def _trainable(recipe: Recipe, source: str) -> Recipe:
    if recipe.optimizer is None or recipe.train_data is None or (recipe.loss is None and recipe.step is None):
        raise InputError(
            f"{source}: this recipe cannot be trained; give it train_data, optimizer and loss (or step)."
        )
    return recipe


def _place(stage: StageResult) -> TensorComparison:
    """The first layer that differs in the order of execution, the first batch that is not shared out, else the tensor
    furthest off."""
    if stage.stage in ("training_mode", "train_data", "loss"):
        return stage.differing[0]
    worst = stage.worst
    assert worst is not None  # noqa: S101 - it diverged
    return worst


def _layer_of(found: TensorComparison, stage: StageResult) -> str:
    name = found.reference_name
    if stage.stage != "training_mode":
        return name or found.name
    path = name.split("#")[0].split(":")[0]
    return path if path in stage.facts["classes"] else path.rpartition(".")[0]


def _failed(message: str, sides: Pair, size: int) -> Alignment:
    problem = TensorComparison("", "", float("inf"), 0.0, f"the port raised {message}")
    result = StageResult("training_steps", "diverged", [problem], notes=[problem.problem])
    first = Divergence("training_steps", "", "", "error", float("inf"), 0.0, facts={"message": message})
    diagnosis = Diagnosis("error", f"one process runs, and {size} do not: {message}", proven=True)
    return Alignment("diverged", [result], sides, first=first, diagnosis=diagnosis)


def sides_of(folder: Path, port: str, reference: str, dtype: str) -> Pair:
    """Both sides' environments, as a report shows them."""
    from fuxian.align import paddle_side
    from fuxian.align.record import environment

    recordings = []
    for name, source in (("port", port), ("reference", reference)):
        with RecordingWriter(folder / name, framework="paddle") as writer:
            writer.data |= {"dtype": dtype, "source": source, "environment": environment(paddle_side)}
        recordings.append(Recording(folder / name))
    return Pair(recordings[0], recordings[1], Links([], {}, {}, [], [], []))
