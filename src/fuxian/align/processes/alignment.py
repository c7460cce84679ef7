"""The whole comparison of a port on several processes with the same on one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
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
    progress = progress or Progress()
    with tempfile.TemporaryDirectory(prefix="fuxian-processes-") as folder:
        return _align(port, reference, processes, chosen, Path(folder), progress)


def _align(
    port: str, reference: str, size: int, stages: tuple[str, ...], folder: Path, progress: Progress
) -> Alignment:
    theirs = _trainable(load_recipe(reference), reference)
    from fuxian.align.processes import run as running
    from fuxian.align.processes.causes import UNKNOWN, Evidence, diagnose
    from fuxian.align.processes.judge import NUDGE, NUDGE_FLOAT32, Together, in_float32, judge_all
    from fuxian.align.processes.launched import FailedError, run_on_several

    progress("align", "one process on the joint batches")
    began = time.monotonic()
    batches, begins = running.drawn(theirs, 0, 1)
    given = running.Given(batches, begins, {}, [])
    running.shares(given, theirs, size)
    try:
        joint = running.run(theirs, given, size=size, way=running.Way())
        synchronised = any(joint.norms.values())
        plain = running.Way(by_shares=bool(joint.norms) and not synchronised)
        if plain.by_shares:
            joint_batch = joint
            joint = running.run(theirs, given, size=size, way=plain)
            joint.drawn, joint.begins = joint_batch.drawn, joint_batch.begins
        given = running.Given(batches, begins, joint.initial, joint.draws)
        nudge = NUDGE_FLOAT32 if in_float32(joint) else NUDGE
        moved = running.run(theirs, given, size=size, way=running.Way(plain.by_shares, nudge=nudge))
        moved.drawn, _ = running.drawn(theirs, 0, 1)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{reference} fails on one process: {type(error).__name__}: {error}") from error
    progress("align", f"{size} processes on their shares")
    sides = _sides(folder, port, reference)
    try:
        shares = run_on_several(port, given, size, folder, time.monotonic() - began)
    except FailedError as error:
        return _failed(str(error), sides, size)
    together = Together(shares, joint, moved, nudge)
    results = judge_all(together, stages)
    verdicts = {result.verdict for result in results}
    verdict = next((v for v in ("diverged", "inconclusive", "aligned") if v in verdicts), "inconclusive")
    alignment = Alignment(verdict, results, sides)
    if plain.by_shares:
        there = joint_batch.steps[0].losses["total"]
        alignment.notes.append(
            f"batch norm's statistics are each process's own ({len(joint.norms)} layers, none synchronised), as the"
            f" reference's were taken here; of the joint batch, they would make the first loss"
            f" {there:.6g} in place of {joint.steps[0].losses['total']:.6g}, and the first process's are kept:"
            " convert to SyncBatchNorm if the paper's batch is the joint one"
        )
    if synchronised:
        alignment.notes.append(
            "SyncBatchNorm has no kernel on a CPU: its sums over the processes were computed by Fuxian in its place"
        )
    spread = shares[0].spread
    if spread:
        alignment.notes.append(
            f"spread over the processes, and not compared where each holds its own part: {', '.join(spread)}"
        )
    alignment.notes.append(
        f"not compared on several processes: {', '.join(s for s in STAGES if s not in JUDGES)}"
    )
    first = next((result for result in results if result.verdict == "diverged"), None)
    if first is not None:
        progress("align", "looking for the cause")
        worst = _place(first)
        place = _layer_of(worst, first)
        at = int(first.facts.get("batch", 0))
        begun = _begun(given, joint, at, theirs.accumulate)
        evidence = Evidence(together, lambda way: running.run(theirs, begun, size=size, way=way), plain, at)
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


def _begun(given: Given, joint: Run, at: int, accumulate: int) -> Given:
    """The batch ``at``, with those that are accumulated with it, from the weights that the joint run had there."""
    first = at // accumulate * accumulate
    held = joint.steps[first - 1] if first else None
    weights = given.weights if held is None else {**held.parameters, **held.buffers}
    part = slice(first, at + 1)
    from fuxian.align.processes.run import Given

    return Given(given.batches[part], [False] * (at + 1 - first), weights, given.draws[part], first)


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


def _sides(folder: Path, port: str, reference: str) -> Pair:
    """Both sides' environments, as a report shows them."""
    from fuxian.align import paddle_side
    from fuxian.align.record import environment

    recordings = []
    for name, source in (("port", port), ("reference", reference)):
        with RecordingWriter(folder / name, framework="paddle") as writer:
            writer.data |= {"dtype": "float64", "source": source, "environment": environment(paddle_side)}
        recordings.append(Recording(folder / name))
    return Pair(recordings[0], recordings[1], Links([], {}, {}, [], [], []))
