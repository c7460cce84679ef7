"""Judges each stage: what the processes did together against what one did on the joint batch. Imports no framework.

How much two faithful runs may differ is measured: one process runs once more with weights and inputs moved by
``nudge``, which is far more than rounding; what comes of that is what rounding may at most do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fuxian.align.compare import TensorComparison, compare
from fuxian.align.processes.draws import shared_axis
from fuxian.align.stages import StageResult

if TYPE_CHECKING:
    from fuxian.align.processes.run import Arrays, Run

NUDGE = 2.0**-40
"""Far above float64's rounding, far below any mistake."""
NUDGE_FLOAT32 = 2.0**-20
"""Where the recipe computes in float32 in places."""
SAFETY = 16.0


@dataclass(frozen=True)
class Together:
    """The processes' runs, one process's on the joint batch, and the same moved by ``nudge``."""

    shares: list[Run]
    joint: Run
    moved: Run
    nudge: float

    @property
    def size(self) -> int:
        return len(self.shares)

    def allowed(self, joint: np.ndarray | float, moved: np.ndarray | float | None) -> float:
        """The tolerance of a tensor, relative to its largest element."""
        one = np.asarray(joint, dtype=np.float64)
        if moved is None or np.shape(moved) != one.shape or not one.size:
            return SAFETY * self.nudge
        size = float(np.abs(one).max())
        response = float(np.abs(np.asarray(moved, dtype=np.float64) - one).max())
        response = response / size if size else 0.0
        return SAFETY * (self.nudge + (response if np.isfinite(response) else 0.0))


def in_float32(run: Run) -> bool:
    """Whether some of a float64 run was computed in float32."""
    losses = [loss for step in run.steps for loss in step.losses.values() if loss]
    narrow = any(float(np.float32(loss)) == loss and loss != round(loss, 6) for loss in losses)
    return narrow or any(array.dtype == np.float32 for array in run.outputs.values())


def judge_all(together: Together, stages: tuple[str, ...]) -> list[StageResult]:
    """The stages that can be compared, of those wanted."""
    return [judge(together) for stage, judge in JUDGES.items() if stage in stages]


def _result(stage: str, tensors: list[TensorComparison], absent: str, **facts: object) -> StageResult:
    if not tensors:
        return StageResult(stage, "not given", notes=[absent])
    verdict = "diverged" if any(t.differs for t in tensors) else "aligned"
    if verdict == "aligned" and any(t.undecided for t in tensors):
        verdict = "inconclusive"
    return StageResult(stage, verdict, tensors, facts=dict(facts))


def _arrays(
    together: Together, shares: list[Arrays], joint: Arrays, moved: Arrays, *, absent_is_zero: bool = False
) -> Iterator[TensorComparison]:
    """Each process's tensors, which are to be the joint run's."""
    spread = set(together.shares[0].spread)
    for rank, arrays in enumerate(shares):
        for name in dict.fromkeys([*joint, *arrays]):
            one, two = arrays.get(name), joint.get(name)
            if name in spread and (one is None or two is None or one.shape != two.shape):
                continue  # Each process holds a part of its own.
            only = one if two is None else two if one is None else None
            if absent_is_zero and only is not None and not only.any():
                continue
            tolerance = 0.0 if two is None else together.allowed(two, moved.get(name))
            shown = name if not rank else f"{name} in process {rank}"
            yield compare(shown, one, two, tolerance, reference_name=name)


def _numbers(
    together: Together, shares: dict[str, float], joint: dict[str, float], moved: dict[str, float]
) -> Iterator[TensorComparison]:
    for name in dict.fromkeys([*joint, *shares]):
        one, two = (
            np.asarray(side[name], dtype=np.float64) if name in side else None for side in (shares, joint)
        )
        tolerance = 0.0 if two is None else together.allowed(two, moved.get(name))
        yield compare(name, one, two, tolerance, reference_name=name)


def initialisation(together: Together) -> StageResult:
    """Every process starts from the same weights."""
    initial = [run.initial for run in together.shares]
    tensors = list(_arrays(together, initial, together.joint.initial, together.joint.initial))
    return _result("initialisation", tensors, "the model has no weights")


def train_data(together: Together) -> StageResult:
    """What the processes draw together is the joint batch, in whatever order, and epochs begin alike."""
    from fuxian.align.processes.run import rows_of

    tensors, facts = [], {"missing": 0, "twice": 0, "other": 0, "same": 0}
    for number, whole in enumerate(together.joint.drawn):
        wanted = Counter(rows_of(whole))
        parts = [Counter(rows_of(run.drawn[number])) for run in together.shares]
        held = sum(parts, Counter())
        missing, extra = (wanted - held).total(), held - wanted
        twice = sum(count for row, count in extra.items() if row in wanted)
        other = extra.total() - twice
        problem = ""
        if missing or extra:
            said = [f"{missing} missing", f"{twice} more than once", f"{other} of no joint batch"]
            problem = f"of {wanted.total()} examples " + ", ".join(w for w in said if not w.startswith("0 "))
            same = all(part == parts[0] for part in parts)
            facts |= {"missing": facts["missing"] + missing, "twice": facts["twice"] + twice}
            facts |= {"other": facts["other"] + other, "same": facts["same"] + same}
        tensors.append(
            TensorComparison(
                f"batch {number}", f"batch {number}", float("inf") if problem else 0.0, 0.0, problem
            )
        )
    for rank, run in enumerate(together.shares):
        if run.begins != together.joint.begins:
            problem = "epochs begin at other batches than on one process"
            tensors.append(
                TensorComparison(f"epochs in process {rank}", "epochs", float("inf"), 0.0, problem)
            )
    return _result("train_data", tensors, "the recipe has no train_data", **facts)


def metric(together: Together) -> StageResult:
    """The figures of the first process, which evaluates for all, at the initial weights."""
    tensors = _numbers(together, together.shares[0].figures, together.joint.figures, together.moved.figures)
    return _result("metric", list(tensors), "the recipe has no metric or no eval_data")


def training_mode(together: Together) -> StageResult:
    """What each layer gives for the first batch, the shares beside each other, and the buffers after it."""
    tensors = []
    for name, whole in together.joint.outputs.items():
        parts = [run.outputs.get(name) for run in together.shares]
        if all(part is not None for part in parts):
            found = _joined(together, name, [part for part in parts if part is not None], whole)
            if found is not None:
                tensors.append(found)
    buffers = [run.steps[0].buffers for run in together.shares[:1]]
    tensors += _arrays(together, buffers, together.joint.steps[0].buffers, together.moved.steps[0].buffers)
    return _result("training_mode", tensors, "no layer gave a tensor", classes=together.joint.classes)


def _joined(
    together: Together, name: str, parts: list[np.ndarray], whole: np.ndarray
) -> TensorComparison | None:
    """None where the shares do not make up the joint tensor: ragged ones, sums over a batch."""
    axis = shared_axis(whole.shape, parts[0].shape, together.size)
    if axis is None or any(part.shape != parts[0].shape for part in parts):
        return None
    joined = np.concatenate(parts, axis)
    tolerance = together.allowed(whole, together.moved.outputs.get(name))
    found = compare(name, joined, whole, tolerance, reference_name=name)
    if found.differs and not found.problem:
        # Where another axis was folded into the batch's, the same elements lie in another order.
        flat = compare(name, np.sort(joined, None), np.sort(whole, None), tolerance, reference_name=name)
        return flat if flat.agrees else found
    return found


def mean_losses(runs: list[Run], step: int) -> dict[str, float]:
    """Each loss of a batch, averaged over the processes, as training logs it."""
    first = runs[0].steps[step].losses
    return {name: float(np.mean([run.steps[step].losses[name] for run in runs])) for name in first}


def begun_alike(together: Together) -> int:
    """The batches at whose beginning every process held the joint run's weights."""
    count = 1
    for step, other in zip(together.joint.steps[:-1], together.moved.steps, strict=False):
        held = [run.steps[count - 1].parameters for run in together.shares]
        if any(found.differs for found in _arrays(together, held, step.parameters, other.parameters)):
            break
        count += 1
    return count


def loss(together: Together) -> StageResult:
    """The losses of each batch that all begin with the same weights, averaged over the processes."""
    tensors = []
    for number in range(begun_alike(together)):
        joint, moved = (side.steps[number].losses for side in (together.joint, together.moved))
        found = [
            _of_batch(t, number)
            for t in _numbers(together, mean_losses(together.shares, number), joint, moved)
        ]
        tensors += found
        if any(t.differs for t in found):
            return _result("loss", tensors, "", batch=number)
    return _result("loss", tensors, "no loss")


def backward(together: Together) -> StageResult:
    """The gradients that the optimizer takes, after averaging, in every process; of each batch that all begin with the
    same weights."""
    tensors = []
    for number in range(begun_alike(together)):
        used = [run.steps[number].used for run in together.shares]
        joint, moved = together.joint.steps[number].used, together.moved.steps[number].used
        found = [_of_batch(t, number) for t in _arrays(together, used, joint, moved, absent_is_zero=True)]
        tensors += found
        if any(t.differs for t in found):
            return _result("backward", tensors, "", batch=number)
    return _result("backward", tensors, "no optimizer took a gradient")


def _of_batch(found: TensorComparison, number: int) -> TensorComparison:
    return _named(found, f"{found.name} of batch {number}") if number else found


def learning_rate(together: Together) -> StageResult:
    """The rates of the steps, in every process."""

    def series(run: Run) -> Arrays:
        return {name: np.array([step.rates[name] for step in run.steps]) for name in run.steps[0].rates}

    joint = series(together.joint)
    tensors = list(_arrays(together, [series(run) for run in together.shares], joint, joint))
    return _result("learning_rate", tensors, "the recipe has no optimizer")


def training_steps(together: Together) -> StageResult:
    """Losses of every step; parameters after the first and the last, in every process; buffers of the first process;
    the averaged weights."""
    tensors = []
    joint, moved = together.joint, together.moved
    for number, step in enumerate(joint.steps):
        means = mean_losses(together.shares, number)
        for found in _numbers(together, means, step.losses, moved.steps[number].losses):
            tensors.append(_named(found, f"loss {found.name} of batch {number}"))
    updated = next((number for number, step in enumerate(joint.steps) if step.used), 0)
    for number in dict.fromkeys((updated, len(joint.steps) - 1)):
        step, other = joint.steps[number], moved.steps[number]
        parameters = [run.steps[number].parameters for run in together.shares]
        buffers = [run.steps[number].buffers for run in together.shares[:1]]
        tensors += _arrays(together, parameters, step.parameters, other.parameters)
        tensors += _arrays(together, buffers, step.buffers, other.buffers)
    evaluated = [run.evaluated for run in together.shares[:1]]
    for found in _arrays(together, evaluated, joint.evaluated, moved.evaluated):
        tensors.append(_named(found, f"average of {found.name}"))
    return _result("training_steps", tensors, "nothing was trained")


def _named(found: TensorComparison, name: str) -> TensorComparison:
    return replace(found, name=name)


JUDGES = {
    "initialisation": initialisation,
    "train_data": train_data,
    "metric": metric,
    "training_mode": training_mode,
    "loss": loss,
    "backward": backward,
    "learning_rate": learning_rate,
    "training_steps": training_steps,
}
"""By stage, in the order in which a mistake in one shows in the next."""
