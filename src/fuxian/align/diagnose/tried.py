"""A hypothesis that was tried, how well it reproduces the reference, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fuxian.align.divergence import Diagnosis

FITS = 0.02
"""A hypothesis is kept when it leaves at most this share of the difference."""
PROVES = 1e-3
"""A cause is proven when the change leaves at most this share of the difference, and of the reference's size less."""
NOTHING = 1e-14
"""Differences up to this are rounding: there is nothing to explain."""


@dataclass(frozen=True)
class Hypothesis:
    """``cause``, the change that was tried in words (``with epsilon=1e-06``), and the relative error against the
    reference ``before`` and ``after`` the change. ``cost`` orders hypotheses that fit alike, the simplest first."""

    cause: str
    change: str
    before: float
    after: float
    cost: int = 1
    line: str = ""

    @property
    def fits(self) -> bool:
        return bool(self.before > NOTHING and self.after <= FITS * min(self.before, 1.0))

    @property
    def proves(self) -> bool:
        """Whether the change, computed, gives the reference's figures."""
        return self.fits and self.after <= PROVES * min(self.before, 1.0)

    def diagnosis(self, about: str = "", line: str = "") -> Diagnosis:
        """What the hypothesis says as a diagnosis; ``about`` begins its sentence."""
        return Diagnosis(self.cause, about + self.sentence, line or self.line, proven=self.proves)

    @property
    def sentence(self) -> str:
        if not np.isfinite(self.before):
            as_it_is = "as it is, the shapes differ or an element is no number"
            return f"{self.change} the difference is {self.after:.2g}; {as_it_is}"
        return f"{self.change} the difference falls from {self.before:.2g} to {self.after:.2g}"


def error(found: np.ndarray | None, wanted: np.ndarray) -> float:
    """The largest difference relative to the largest element wanted; infinite for another shape."""
    if found is None or found.shape != wanted.shape or not wanted.size:
        return float("inf")
    wanted = np.asarray(wanted, dtype=np.float64)
    with np.errstate(all="ignore"):
        difference = np.where(found == wanted, 0.0, np.abs(found.astype(np.float64) - wanted))
    worst, size = float(difference.max()), float(np.abs(wanted).max())
    if not np.isfinite(worst):
        return float("inf")
    return worst / size if size else worst


def best(tried: Iterable[Hypothesis]) -> Hypothesis | None:
    """The hypothesis that fits best: errors within a factor of 1000 count as equal, then the simplest."""
    kept = [hypothesis for hypothesis in tried if hypothesis.fits]
    if not kept:
        return None
    smallest = max(min(hypothesis.after for hypothesis in kept), 1e-15)
    return min((h for h in kept if h.after <= 1000 * smallest), key=lambda h: (h.cost, h.after))


def number(value: object) -> str:
    """A setting as a sentence shows it."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(number(part) for part in value) + "]"
    return str(value)
