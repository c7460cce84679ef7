"""What segmentation of portraits is measured by: foreground IoU and boundary IoU, each a mean over pictures."""

from __future__ import annotations

import cv2
import numpy as np

from fuxian.metrics import Mean

THRESHOLD = 0.5
BOUNDARY = 0.02
"""Width of the boundary, in diagonals of the picture (Cheng et al. 2021)."""


def metric() -> Mean:
    """Figures ``iou`` and ``boundary_iou`` of probabilities [N, H, W] against masks [N, H, W]."""

    def measured(outputs: np.ndarray, targets: tuple, meta: object) -> dict[str, list[float]]:
        found, wanted = outputs > THRESHOLD, np.asarray(targets[0]) == 1
        pairs = list(zip(found, wanted, strict=True))
        return {
            "iou": [iou(one, other) for one, other in pairs],
            "boundary_iou": [iou(boundary(one), boundary(other)) for one, other in pairs],
        }

    return Mean(measured)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Shared over united pixels of the person in two masks [H, W]; 1 where there is none in either, as official."""
    united = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / united if united else 1.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """The mask's pixels that lie within ``BOUNDARY`` of its outline; beyond the picture's edge there is no person."""
    width = max(1, round(BOUNDARY * float(np.hypot(*mask.shape))))
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inner = np.asarray(cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width))[1:-1, 1:-1]
    return mask & (inner == 0)
