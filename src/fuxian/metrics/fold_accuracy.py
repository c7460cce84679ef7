"""Accuracy of pairs over folds, each judged at the threshold that is best on all others (LFW's protocol)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics.collected import Collected, columns, numbered
from fuxian.metrics.units import Figure, Units, finite, need, need_truth_values, need_unit_numbers

KIND = "accuracy over folds"


class FoldAccuracy(Collected):
    """``contribution(outputs, targets, meta)`` returns (score, same, fold), each [B]; the figure is ``accuracy``.

    A pair is called the same at a score of at least the threshold. ``thresholds`` [K] are those to choose from, the
    first of the best being taken; by default every threshold between two scores. The units are the folds.
    """

    def __init__(
        self, contribution: Callable[[Any, Any, Any], Any], thresholds: Any = None, name: str = "accuracy"
    ) -> None:
        super().__init__(contribution)
        self.thresholds = thresholds
        self.name = name

    def of_batches(self, batches: list[tuple]) -> dict[str, Units]:
        score, same = columns([batch[:2] for batch in batches], (np.float64, np.int8))
        unit, n = numbered([batch[2] for batch in batches])
        chosen = _between(score) if self.thresholds is None else np.asarray(self.thresholds, np.float64)
        return {self.name: Units(KIND, n, {"unit": unit, "score": score, "same": same, "threshold": chosen})}


def check(units: Units) -> None:
    need(units, {"unit": ("R",), "score": ("R",), "same": ("R",), "threshold": ("K",)})
    need_unit_numbers(units, "unit")
    need_truth_values(units, "same")
    if units.n < 2 or not units.arrays["threshold"].size:
        raise InputError(f"{KIND}: give two folds or more, and a threshold to choose.")


def prepare(units: Units) -> Figure:
    unit, score, threshold = (units.arrays[name] for name in ("unit", "score", "threshold"))
    same = units.arrays["same"].astype(bool)
    if not finite(units, "score", "threshold"):
        return lambda chosen: np.nan
    right = np.zeros((units.n, len(threshold)), np.int64)
    for fold in range(units.n):
        genuine, impostor = (np.sort(score[(unit == fold) & (same == kind)]) for kind in (True, False))
        right[fold] = (
            len(genuine) - np.searchsorted(genuine, threshold) + np.searchsorted(impostor, threshold)
        )
    size = np.bincount(unit, minlength=units.n)

    def figure(chosen: np.ndarray) -> float:
        times = np.bincount(chosen, minlength=units.n)
        folds = np.flatnonzero(times)
        if len(folds) < 2 or not size[folds].all():
            return np.nan
        of_all = times @ right
        best = [int(np.argmax(of_all - times[fold] * right[fold])) for fold in folds]
        return float(np.average(right[folds, best] / size[folds], weights=times[folds]))

    return figure


def _between(score: np.ndarray) -> np.ndarray:
    """Below the lowest score, between each two, and above the highest."""
    seen = np.unique(score[np.isfinite(score)])
    if not len(seen):
        return np.zeros(1)
    return np.concatenate([[seen[0] - 1], (seen[1:] + seen[:-1]) / 2, [seen[-1] + 1]])
