"""Generated truths and detections on which evaluators may differ, the same on every machine (integers only).

Among them: loops that cross themselves, corners that coincide, polygons without area, pairs of IoU exactly one half,
detections that are half ignored, several detections of one truth, pictures without truths or without detections, and
transcriptions with commas and quotes.
"""

from __future__ import annotations

import numpy as np

COUNT = 400
_TEXTS = ("word", "###", '"###"', "a,###", "###,a", "", "#", "####", '"x"')


def case(index: int) -> tuple[list[np.ndarray], list[str], list[np.ndarray]]:
    """Truths, int64 [4, 2] each, their transcriptions, and detections."""
    rng = np.random.default_rng([2015, index])
    truths = [_quadrilateral(rng) for _ in range(int(rng.integers(0, 9)))]
    texts = [str(rng.choice(_TEXTS, p=(0.6, *[0.05] * 8))) for _ in truths]
    detections = [_near(truths[int(rng.integers(len(truths)))], rng) for _ in range(2 * len(truths))]
    detections = [one for one in detections if rng.random() < 0.7]
    detections += [_quadrilateral(rng) for _ in range(int(rng.integers(0, 3)))]
    return truths, texts, [detections[at] for at in rng.permutation(len(detections))]


def _quadrilateral(rng: np.random.Generator) -> np.ndarray:
    kind = rng.random()
    corner = rng.integers(0, 200, 2)
    if kind < 0.5:
        width, height = rng.integers(1, 60, 2)
        return corner + np.array([(0, 0), (width, 0), (width, height), (0, height)])
    made = corner + rng.integers(0, 40, (4, 2))
    if kind < 0.6:
        made[int(rng.integers(4))] = made[int(rng.integers(4))]
    elif kind < 0.65:
        made[:] = made[0] + np.arange(4)[:, None] * rng.integers(0, 3, 2)
    return made


def _near(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = rng.random()
    if kind < 0.2:
        return truth.copy()
    if kind < 0.4:
        # A rectangle of twice the width, or one moved by a third of it: IoU is one half.
        width = truth[:, 0].max() - truth[:, 0].min()
        right = truth[:, 0] == truth[:, 0].max()
        made = truth.copy()
        made[right, 0] += width
        return made if rng.random() < 0.5 else truth + np.array([width // 3, 0])
    if kind < 0.5:
        return truth[[0, 2, 1, 3]]
    return truth + rng.integers(-6, 7, (4, 2))
