"""A ratio of sums over units: corpus IoU, precision, recall, and the hmean of text detection."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuxian.metrics.collected import Collected
from fuxian.metrics.units import Figure, Units, finite, need

KIND = "ratio of sums"


class RatioOfSums(Collected):
    """``contribution(outputs, targets, meta)`` returns {"iou": (above, below)} with arrays [B] or [B, C].

    The figure is sum(above) / sum(below) over all units; with C classes, the mean of the classes' ratios, without the
    classes whose sum below is 0. Intersections and unions of each image give the IoU of a whole set, over classes mIoU.
    """

    def of_batches(self, batches: list[dict[str, tuple[Any, Any]]]) -> dict[str, Units]:
        return {name: _units([batch[name] for batch in batches]) for name in batches[0]}


class Hmean(Collected):
    """``contribution(outputs, targets, meta)`` returns (matched, truths, detections), counts of each image [B].

    As ICDAR counts them: one-to-one matches, and of truths and detections those that are not to be ignored. Figures:
    ``precision``, ``recall`` and ``hmean`` = 2 matched / (truths + detections).
    """

    def of_batches(self, batches: list[tuple[Any, Any, Any]]) -> dict[str, Units]:
        counts = [tuple(np.asarray(part, np.float64) for part in batch) for batch in batches]
        return {
            "precision": _units([(matched, found) for matched, _, found in counts]),
            "recall": _units([(matched, truths) for matched, truths, _ in counts]),
            "hmean": _units([(2 * matched, truths + found) for matched, truths, found in counts]),
        }


def _units(pairs: list[tuple[Any, Any]]) -> Units:
    above, below = (
        np.concatenate([np.asarray(part, np.float64) for part in parts]) for parts in zip(*pairs, strict=True)
    )
    if above.ndim == 1:
        above, below = above[:, None], below[:, None]
    return Units(KIND, len(above), {"above": above, "below": below})


def check(units: Units) -> None:
    need(units, {"above": ("n", "C"), "below": ("n", "C")})


def prepare(units: Units) -> Figure:
    above, below = (units.arrays[name].astype(np.float64) for name in ("above", "below"))
    if not finite(units, "above", "below"):
        return lambda chosen: np.nan
    return lambda chosen: float(of_totals(above[chosen].sum(0), below[chosen].sum(0)))


def of_totals(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The figure [...] from the sums [..., C]; NaN where no class has a sum below."""
    seen = below != 0
    ratios = np.divide(above, below, out=np.zeros_like(above), where=seen)
    counted = seen.sum(-1)
    return np.where(counted > 0, ratios.sum(-1) / np.maximum(counted, 1), np.nan)
