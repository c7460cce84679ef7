"""Are the submitted weights somebody else's? They are compared with those that the organiser knows.

Tensors alone tell where they were only renamed or turned. Units in another order, units of which one layer undoes what
another does, and numbers that were moved a little compute the same function: there, outputs tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError, PlatformError
from fuxian.submission.checklist.weights_origin import MANY, share_of_reference
from fuxian.verify.entrant_weights import load_weights
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.rungs import Predictions, Scene, Unfit, predict_known
from fuxian.verify.terms import Terms
from fuxian.weights import load_tensors

ALIKE = 0.995
"""Correlation of what two networks give beyond what their classes have in common."""
FEWEST = 100
"""Outputs that are compared."""


@dataclass(frozen=True)
class Origin:
    """What the comparison said."""

    status: Literal["pass"]
    detail: str
    shares: dict[str, float]
    """By known file: the share of the submitted elements in tensors near to one of its."""

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "shares": self.shares}


def origin(weights: Path, terms: Terms) -> Origin:
    """Raises Failed for weights that are known ones, and InputError for weights that cannot be read."""
    tensors = load_weights(weights)
    shares = {}
    for name, file in zip(terms.known_weights, terms.known_files, strict=True):
        try:
            known = load_tensors(file)
        except InputError as error:
            raise PlatformError(f"the terms' known weights cannot be read: {error}") from error
        shares[name] = share_of_reference(tensors, known)
        if shares[name] >= MANY:
            raise Failed(
                Reason.CONVERTED_WEIGHTS, f"{100 * shares[name]:.0f} % of the weights are those of {name}."
            )
    compared = f"compared with {len(shares)} known files" if shares else "the terms name no known weights"
    return Origin("pass", compared, shares)


@dataclass(frozen=True)
class Likeness:
    """How alike the outputs are, by known file; None where they cannot be compared."""

    status: Literal["pass", "not_applicable"]
    detail: str
    correlations: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status, "detail": self.detail, "correlations": self.correlations}


def likeness(scene: Scene, submitted: Predictions) -> Likeness:
    """Compares what the submitted weights predicted with what known ones give in the organiser's own model.

    Raises Failed where the outputs are the same but for little.
    """
    terms = scene.terms
    found: dict[str, float | None] = {}
    for name, file in zip(terms.known_weights, terms.known_files, strict=True):
        try:
            known = predict_known(scene, file)
        except Unfit:
            found[name] = None
            continue
        found[name] = correlation(known, submitted)
        if (found[name] or 0.0) >= ALIKE:
            raise Failed(
                Reason.CONVERTED_WEIGHTS,
                f"on the drawn inputs the weights give what {name} gives (correlation {found[name]:.4f}): they are"
                " these weights, in another order or moved a little.",
            )
    compared = [f"{name} {value:.3f}" for name, value in found.items() if value is not None]
    if not compared:
        return Likeness("not_applicable", "no known weights fit the organiser's own model", found)
    return Likeness("pass", f"correlation of the outputs with those of {', '.join(compared)}", found)


def correlation(known: Predictions, submitted: Predictions) -> float | None:
    """Of two networks' logits [..., N, classes], beyond their means over the examples that both take for the same
    class; None where there are none: two good regressions of one quantity are alike because they are good.

    Logits of a row count from their mean, for one may be added to all; a factor over all does not matter either.
    """
    pairs = [
        (_rows(array), _rows(submitted[name]))
        for name, array in known.items()
        if name in submitted
        and submitted[name].shape == array.shape
        and array.dtype.kind == "f"
        and array.ndim in (2, 3)
        and array.shape[-1] > 1
    ]
    if not pairs:
        return None
    ours, theirs = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    left = np.zeros_like(ours), np.zeros_like(theirs)
    classes = ours.argmax(1) * ours.shape[1] + theirs.argmax(1)
    for value in np.unique(classes):
        rows = classes == value
        for made, outputs in zip(left, (ours, theirs), strict=True):
            made[rows] = outputs[rows] - outputs[rows].mean(0)
    sizes = [float(np.linalg.norm(one)) for one in left]
    if left[0].size < FEWEST or min(sizes) == 0:
        return None
    return float((left[0] * left[1]).sum() / (sizes[0] * sizes[1]))


def _rows(logits: np.ndarray) -> np.ndarray:
    """As float64 [rows, classes], each row from its mean."""
    wide = logits.astype(np.float64).reshape(-1, logits.shape[-1])
    return wide - wide.mean(1, keepdims=True)
