"""The control: the evaluation once more, on weights of no worth. Figures that do not fall do not come from weights.

The elements of each tensor are shuffled, which keeps every distribution and destroys what was learned. A metric whose
figures are written down in the code, and one that prints what is wished for, give the same as before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.verdict import Verdict
from fuxian.verify.batches import batch_name
from fuxian.verify.commands import Workspace, run_command
from fuxian.verify.control_weights import Kind
from fuxian.verify.entrant_weights import read_weights
from fuxian.verify.examiner import Test, score_predictions
from fuxian.verify.measured_figure import Measured, captured, outputs, read_measured, trained_weights
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.rungs import Predicted, Predictions
from fuxian.verify.terms import Terms
from fuxian.weights import save_tensors

SEED = 20210417
LOWEST = 3
"""The rung on which the submission's own code predicts."""
NUDGED: Kind = "nudged"
MOST_LOST = 0.5
"""Of what separates the submitted weights from worthless ones: half precision loses next to nothing."""
STOPS = frozenset({Reason.CANCELLED, Reason.INTERNAL})


@dataclass(frozen=True)
class Control:
    """How the control ended; ``value`` is its figure, None where the evaluation refuses such weights."""

    status: Literal["pass", "not_applicable"]
    detail: str
    value: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "value": self.value}


def control(at: Workspace, measured: Measured, ruling: Verdict) -> Control:
    """Evaluates shuffled weights.

    Raises Failed where the figures are the same as with the submitted weights, or reach the claim all the same.
    """
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
        found_again = read_measured(at, captured(at, done))
    except Failed as error:
        if error.reason in STOPS:
            raise
        return Control(
            "not_applicable", f"the evaluation does not run on shuffled weights ({error.reason.value})"
        )
    run = found_again.measurements.runs[0]
    if not math.isfinite(run.value):
        return Control("not_applicable", "shuffled weights give no finite figure")
    if any(run.value == own.value and run.examples == own.examples for own in measured.measurements.runs):
        raise Failed(
            Reason.METRIC_FIXED,
            f"weights with shuffled elements give exactly the same figures ({run.value:.6g}): they are not measured on"
            " the checkpoint.",
        )
    if reaches(at.claim, ruling, run.value):
        raise Failed(
            Reason.METRIC_FIXED,
            f"weights with shuffled elements reach the claim as well ({run.value:.6g}): the figure does not rest on"
            " what was learned.",
        )
    return Control("pass", f"shuffled weights give {run.value:.6g}", run.value)


def _weights(at: Workspace) -> tuple[Path, str | None] | None:
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
    stored = read_weights(weights)
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


@dataclass(frozen=True)
class Controls:
    """How the controls of a ruling ended: the figure by what its weights were, None where they gave none."""

    status: Literal["pass"]
    detail: str
    values: dict[str, float | None]

    @property
    def worthless(self) -> list[float]:
        """The figures of those weights that are worth nothing."""
        return [value for kind, value in self.values.items() if kind != NUDGED and value is not None]

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "values": self.values}


def judge_controls(terms: Terms, test: Test, predicted: Predicted, ruling: Verdict) -> Controls:
    """Scores what the controls' weights predicted.

    Raises Failed where all worthless weights reach the claim, or one gives the very predictions of the submitted ones,
    where nudged ones fall far behind, or where code of the submission refuses to run on any.
    """
    predicted.complete()
    values: dict[str, float | None] = {}
    for kind, control in predicted.controls.items():
        if control.predictions is None:
            assert control.refused is not None  # noqa: S101 - one of both is there
            if predicted.rung == LOWEST or control.refused.reason is not Reason.METRIC_INVALID:
                raise Failed(
                    Reason.METRIC_FIXED,
                    f"with {kind} weights the scoring command gives nothing"
                    f" ({control.refused.sentence.rstrip('.')}); it must run on any weights of this shape.",
                )
            # The organiser's own program ran, and worthless weights overflowed.
            values[kind] = None
            continue
        if kind != NUDGED and _same(control.predictions, predicted.predictions):
            raise Failed(
                Reason.METRIC_FIXED,
                f"{kind} weights give the same predictions: they do not come from the weights.",
            )
    scored = {kind: one for kind, one in predicted.controls.items() if one.predictions is not None}
    asked = [(one.predictions, one.batches) for one in scored.values() if one.predictions is not None]
    nudged = scored.get(NUDGED)
    if nudged is not None and nudged.predictions is not None:
        # The submitted weights on the very same batches.
        named = {batch_name(number) for number in nudged.batches}
        own = {
            name: array for name, array in predicted.predictions.items() if name.partition(".")[0] in named
        }
        asked.append((own, nudged.batches))
    figures = [run.value for run in score_predictions(terms, test, asked)]
    for kind, value in zip(scored, figures, strict=False):
        values[kind] = value if math.isfinite(value) else None
    worthless = {kind: value for kind, value in values.items() if kind != NUDGED and value is not None}
    reaching = [
        f"{kind} {value:.6g}" for kind, value in worthless.items() if reaches(terms.claim, ruling, value)
    ]
    # In a small network, elements in another order may by chance compute much the same: one alone is not held against
    # it. A figure that does not rest on the weights is there with both.
    if worthless and len(reaching) == sum(kind != NUDGED for kind in scored):
        raise Failed(
            Reason.METRIC_FIXED,
            f"worthless weights reach the claim as well ({', '.join(reaching)}): the figure does not rest on what was"
            " learned.",
        )
    if nudged is not None:
        _require_the_same(terms.claim, ruling, figures[-1], values[NUDGED], list(worthless.values()))
    shown = ", ".join(
        f"{kind} {'none' if value is None else f'{value:.6g}'}" for kind, value in values.items()
    )
    return Controls("pass", f"figures of the controls' weights: {shown}", values)


def _same(control: Predictions, submitted: Predictions) -> bool:
    """Whether the submitted weights gave all of a control's predictions; code of the submission chose the names."""
    return all(
        name in submitted and np.array_equal(array, submitted[name]) for name, array in control.items()
    )


def _require_the_same(
    claim: Claim, ruling: Verdict, own: float, nudged: float | None, worthless: list[float]
) -> None:
    """Raises Failed where weights that were moved by a thousandth of themselves lost most of what they were worth."""
    if nudged is not None and reaches(claim, ruling, nudged):
        return
    least = max(worthless, key=lambda value: gain(claim, value), default=None)
    if nudged is not None and least is not None:
        lost, all_of_it = gain(claim, own) - gain(claim, nudged), gain(claim, own) - gain(claim, least)
        if lost <= MOST_LOST * all_of_it:
            return
    given = "no finite figure" if nudged is None else f"{nudged:.6g}"
    raise Failed(
        Reason.METRIC_FIXED,
        f"the submitted weights give {own:.6g}, and the same moved by a thousandth of themselves {given}: the figure"
        " rests on their being these very ones, not on what was learned.",
    )


def reaches(claim: Claim, ruling: Verdict, value: float) -> bool:
    """Whether a figure, taken at its word, is within the claim's margin of the target."""
    return gain(claim, value) - gain(claim, ruling.target) >= -ruling.margin


def gain(claim: Claim, value: float) -> float:
    """The figure, where more is better; else its negative."""
    return value if claim.direction == "higher" else -value
