"""The evaluation of ICDAR 2015, challenge 4, task 1 (official script.py): one-to-one matches at IoU above 0.5.

The official script computes with the Polygon library: a polygon's own area is the absolute shoelace sum, so that the
loops of a self-crossing one cancel; what two polygons share is the area that lies inside both by the even-odd rule,
so that loops count. A pair without positive union has IoU 0, a detection without area hits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MATCH = 0.5
"""A detection matches above this IoU."""
IGNORE = 0.5
"""A detection is ignored when more than this share of its area lies in an ignored truth."""


@dataclass(frozen=True)
class Counts:
    """One picture. ``pairs``: (truth, detection) of each match; ``truths`` and ``detections``: those that count."""

    pairs: tuple[tuple[int, int], ...]
    truths: int
    detections: int

    @property
    def matched(self) -> int:
        return len(self.pairs)


def match(truths: list[np.ndarray], ignored: list[bool], detections: list[np.ndarray]) -> Counts:
    """Matches one picture's detections with its truths, greedily in their order. Polygons are [corners, 2]."""
    own = [area(polygon) for polygon in detections]
    common = np.array([[shared_area(truth, found) for found in detections] for truth in truths])
    common = common.reshape(len(truths), len(detections))
    hidden = [
        any(lost and size and common[number, at] / size > IGNORE for number, lost in enumerate(ignored))
        for at, size in enumerate(own)
    ]
    pairs: list[tuple[int, int]] = []
    free = [not is_hidden for is_hidden in hidden]
    for number, truth in enumerate(truths):
        if ignored[number]:
            continue
        size = area(truth)
        for at, found in enumerate(own):
            union = size + found - common[number, at]
            if free[at] and union and common[number, at] / union > MATCH:
                pairs.append((number, at))
                free[at] = False
                break
    return Counts(tuple(pairs), len(truths) - sum(ignored), len(detections) - sum(hidden))


def area(polygon: np.ndarray) -> float:
    """The absolute shoelace sum."""
    x, y = np.asarray(polygon, np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2)


def shared_area(first: np.ndarray, second: np.ndarray) -> float:
    """The area of the points inside both polygons, each by the even-odd rule.

    Between two neighbouring heights out of all corners and crossings no edges cross, so that the width of what is
    shared is linear there: its value half-way times the height is exact.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    low, high = np.maximum(a.min(0), b.min(0)), np.minimum(a.max(0), b.max(0))
    if (low >= high).any():
        return 0.0
    edges = np.concatenate([_edges(a), _edges(b)])
    heights = np.unique(np.concatenate([edges[:, [1, 3]].ravel(), _crossings(edges)]))
    heights = heights[(heights >= low[1]) & (heights <= high[1])]
    total = 0.0
    for bottom, top in pairwise(heights):
        middle = (bottom + top) / 2
        total += (top - bottom) * _common_width(_spans(a, middle), _spans(b, middle))
    return float(total)


def _edges(polygon: np.ndarray) -> np.ndarray:
    """[corners, 4]: x1, y1, x2, y2."""
    return np.concatenate([polygon, np.roll(polygon, -1, axis=0)], axis=1)


def _crossings(edges: np.ndarray) -> np.ndarray:
    """The heights at which two of the edges cross."""
    x, y = edges[:, 0], edges[:, 1]
    across, up = edges[:, 2] - x, edges[:, 3] - y
    first, second = np.triu_indices(len(edges), 1)
    turn = across[first] * up[second] - up[first] * across[second]
    first, second, turn = first[turn != 0], second[turn != 0], turn[turn != 0]
    dx, dy = x[second] - x[first], y[second] - y[first]
    along = (dx * up[second] - dy * across[second]) / turn
    other = (dx * up[first] - dy * across[first]) / turn
    met = (along >= 0) & (along <= 1) & (other >= 0) & (other <= 1)
    return y[first[met]] + along[met] * up[first[met]]


def _spans(polygon: np.ndarray, height: float) -> np.ndarray:
    """Where a horizontal line enters and leaves the polygon, sorted, an even number."""
    x1, y1, x2, y2 = _edges(polygon).T
    crossed = (y1 <= height) != (y2 <= height)
    x1, y1, x2, y2 = x1[crossed], y1[crossed], x2[crossed], y2[crossed]
    return np.sort(x1 + (height - y1) / (y2 - y1) * (x2 - x1))


def _common_width(first: np.ndarray, second: np.ndarray) -> float:
    enter, leave = first[::2, None], first[1::2, None]
    return float(np.maximum(np.minimum(leave, second[1::2]) - np.maximum(enter, second[::2]), 0).sum())
