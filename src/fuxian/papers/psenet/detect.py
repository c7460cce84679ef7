"""From the network's maps to polygons (official code, models/head/psenet_head.py, get_results)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from scipy import ndimage
from scipy.special import expit

from fuxian.papers.psenet.pse import pse

Outline = Literal["rectangle", "contour"]


@dataclass(frozen=True, eq=False)
class Detection:
    """``polygon``: int32 [corners, 2], (x, y) in pixels of the original picture; ``score``: the text map's mean."""

    polygon: np.ndarray
    score: float


def detect(
    logits: np.ndarray,
    size: tuple[int, int],
    *,
    min_area: float,
    min_score: float,
    kernels: int | None = None,
    outline: Outline = "rectangle",
) -> list[Detection]:
    """The text instances of one picture.

    Args:
        logits: float32 [K, H, W], map 0 the whole text, map K - 1 the smallest kernel.
        size: height and width of the original picture.
        min_area: instances of fewer pixels are left out, before they grow and after.
        min_score: instances whose mean score is lower are left out.
        kernels: how many maps, from the largest on, are used; all if absent.
        outline: the smallest rectangle around an instance, in any direction, or its outer contour.
    """
    maps = logits[:kernels] > 0
    maps[1:] &= maps[0]
    instances = pse(maps, min_area)
    scores = expit(logits[0].astype(np.float32))
    to_original = np.array([size[1] / logits.shape[2], size[0] / logits.shape[1]])
    found = []
    for label, window in enumerate(ndimage.find_objects(instances), start=1):
        if window is None:
            continue
        inside = instances[window] == label
        score = float(scores[window][inside].mean())
        if inside.sum() < min_area or score < min_score:
            continue
        corner = np.array([window[1].start, window[0].start])
        if outline == "rectangle":
            points = np.argwhere(inside)[:, ::-1] + corner
            corners = cv2.boxPoints(cv2.minAreaRect(points.astype(np.int32)))
        else:
            contours, _ = cv2.findContours(
                inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
            )
            corners = contours[0][:, 0] + corner
            if len(corners) < 3:
                continue
        found.append(Detection((corners * to_original).astype(np.int32), score))
    return found
