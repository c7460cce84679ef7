"""Boxes as corners [x1, y1, x2, y2] in pixels: between the networks' form and COCO's, and how far two are apart.

Shape legend: P predicted boxes, G true ones, K pairs.
"""

from __future__ import annotations

import math

import numpy as np
import paddle
from paddle import Tensor

DELTA_WEIGHTS = (2.0, 2.0, 1.0, 1.0)
"""What a stage's four numbers are divided by: of the centre, then of the size."""
MOST_GROWTH = math.log(100000.0 / 16)
"""The largest logarithm of a size's factor in one stage."""


def corners(centred: Tensor) -> Tensor:
    """Corners [..., 4] of boxes given as centre and size [..., 4]."""
    middle, size = centred[..., :2], centred[..., 2:]
    return paddle.concat([middle - 0.5 * size, middle + 0.5 * size], axis=-1)


def moved(boxes: Tensor, deltas: Tensor) -> Tensor:
    """The boxes [..., 4] that a stage makes of the last ones: centres moved in parts of the size, sizes multiplied."""
    size = boxes[..., 2:] - boxes[..., :2]
    middle = boxes[..., :2] + 0.5 * size
    x, y, w, h = DELTA_WEIGHTS
    step = deltas[..., :2] / paddle.to_tensor([x, y], deltas.dtype)
    growth = paddle.clip(deltas[..., 2:] / paddle.to_tensor([w, h], deltas.dtype), max=MOST_GROWTH)
    return corners(paddle.concat([middle + step * size, size * paddle.exp(growth)], axis=-1))


def area(boxes: Tensor) -> Tensor:
    """[...] of boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def giou(a_K4: Tensor, b_K4: Tensor) -> Tensor:
    """Generalized IoU [K] of each pair (Rezatofighi et al. 2019): IoU less the hull's share that neither covers."""
    low, high = paddle.maximum(a_K4[:, :2], b_K4[:, :2]), paddle.minimum(a_K4[:, 2:], b_K4[:, 2:])
    shared = paddle.prod(paddle.clip(high - low, min=0), axis=-1)
    union = area(a_K4) + area(b_K4) - shared
    least, most = paddle.minimum(a_K4[:, :2], b_K4[:, :2]), paddle.maximum(a_K4[:, 2:], b_K4[:, 2:])
    hull = paddle.prod(most - least, axis=-1)
    return shared / union - (hull - union) / hull


def pairwise_giou(a_P4: np.ndarray, b_G4: np.ndarray) -> np.ndarray:
    """Generalized IoU [P, G] of every pair, in numpy."""
    a, b = a_P4[:, None], b_G4[None]

    def product(sides: np.ndarray) -> np.ndarray:
        return sides[..., 0] * sides[..., 1]

    shared = product(np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0))
    union = product(a[..., 2:] - a[..., :2]) + product(b[..., 2:] - b[..., :2]) - shared
    hull = product(np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2]))
    return shared / union - (hull - union) / hull


def clipped(boxes: np.ndarray, height: float, width: float) -> np.ndarray:
    """The boxes [..., 4] within a picture."""
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))


def to_coco(boxes: np.ndarray) -> np.ndarray:
    """COCO's [x, y, width, height] of corners, both [..., 4]."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def from_coco(boxes: np.ndarray) -> np.ndarray:
    """Corners of COCO's [x, y, width, height], both [..., 4]."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)
