"""The control: the evaluation once more, on weights of no worth. Figures that do not fall do not come from weights.

The elements of each tensor are shuffled, which keeps every distribution and destroys what was learned. A metric whose
figures are written down in the code, and one that prints what is wished for, give the same as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.verdict import Verdict
from fuxian.verify.commands import Workplace, run_command
from fuxian.verify.evaluate import Measured, outputs, read_measured, trained_weights
from fuxian.verify.reasons import Failed, Reason
from fuxian.weights import read, save_tensors

SEED = 20210417
STOPS = frozenset({Reason.CANCELLED, Reason.INTERNAL})


@dataclass(frozen=True)
class Control:
    """How the control ended; ``value`` is its figure, None where the evaluation refuses such weights."""

    status: Literal["pass", "not_applicable"]
    detail: str
    value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "value": self.value}


def control(at: Workplace, measured: Measured, ruling: Verdict) -> Control:
    """Evaluates shuffled weights.

    Raises Failed where the figures are the same as with the submitted weights, or reach the claim all the same.
    """
    if measured.how == "labels held by the organiser":
        return Control("not_applicable", "the figure was made outside the submission's code")
    found = _weights(at)
    if found is None:
        return Control("not_applicable", "the manifest names no checkpoint whose elements could be shuffled")
    weights, named = found
    worthless = at.place / f"shuffled{weights.suffix}"
    try:
        changed = _shuffle(weights, worthless)
    except InputError as error:
        return Control("not_applicable", f"the checkpoint cannot be shuffled: {error}")
    if not changed:
        return Control("not_applicable", "the checkpoint holds no tensor that shuffling changes")
    try:
        if named is None:
            done = run_command(at, "evaluate", "control", checkpoint=worthless, without=outputs(at))
        else:
            done = run_command(at, "evaluate", "control", instead={named: worthless}, without=outputs(at))
        found_again = read_measured(at, done)
    except Failed as error:
        if error.reason in STOPS:
            raise
        return Control("pass", f"the evaluation does not run on shuffled weights ({error.reason.value})")
    run = found_again.measurements.runs[0]
    if any(run.value == own.value and run.examples == own.examples for own in measured.measurements.runs):
        raise Failed(
            Reason.METRIC_FIXED,
            f"weights with shuffled elements give exactly the same figures ({run.value:.6g}): they are not measured on"
            " the checkpoint.",
        )
    if _reaches(at, ruling, run.value):
        raise Failed(
            Reason.METRIC_FIXED,
            f"weights with shuffled elements reach the claim as well ({run.value:.6g}): the figure does not rest on"
            " what was learned.",
        )
    return Control("pass", f"shuffled weights give {run.value:.6g}", run.value)


def _weights(at: Workplace) -> tuple[Path, str | None] | None:
    """The checkpoint that was evaluated, and its path in the submission, None where it was trained here."""
    trained = [done for done in at.done if done.name.startswith("train-")]
    if trained:
        return trained_weights(at, trained[-1]), None
    named = at.manifest.checkpoint_of(at.claim)
    if named is None or not (at.manifest.folder / named).is_file():
        return None
    return at.manifest.folder / named, named


def _shuffle(weights: Path, out: Path) -> bool:
    """Writes the tensors with their elements in another order; whether that changed any. Integers are left alone:
    they count steps and index tables. Raises InputError for a file that cannot be read or written."""
    random = np.random.Generator(np.random.PCG64(SEED))
    stored = read(weights)
    tensors = stored.tensors
    shuffled = {
        name: random.permutation(tensor.reshape(-1)).reshape(tensor.shape)
        if tensor.dtype.kind == "f"
        else tensor
        for name, tensor in tensors.items()
    }
    if out.suffix == ".npz":
        np.savez(out, allow_pickle=False, **shuffled)
    else:
        save_tensors(out, shuffled, stored.metadata)
    return any(not np.array_equal(shuffled[name], tensor) for name, tensor in tensors.items())


def _reaches(at: Workplace, ruling: Verdict, value: float) -> bool:
    """Whether a figure, taken at its word, is within the claim's margin of the target."""
    better = value - ruling.target if at.claim.direction == "higher" else ruling.target - value
    return better >= -ruling.margin
