"""Labels of one picture: the text, its shrunk kernels and the training mask (paper, section 3.2).

As in the official code: polygons are rounded towards zero to whole pixels, offsets to the nearest one, and no kernel
shrinks by more than 20 pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import pyclipper

MOST_OFFSET = 20


def shrink_ratio(kernel: int, kernels: int, smallest: float) -> float:
    """Equation 2: the side ratio of the ``kernel``-th of n ``kernels``, from 1 (kernel 0) to ``smallest`` (n - 1)."""
    return 1 - (1 - smallest) * kernel / (kernels - 1)


def shrink(polygon: np.ndarray, ratio: float) -> np.ndarray:
    """A polygon, int [corners, 2], moved inwards by equation 1's offset, area (1 - ratio^2) / perimeter.

    What would vanish stays as it is, and so does what falls apart into pieces of unequal numbers of corners; of pieces
    of equal numbers the first is taken (both as the official code's array conversion happens to do).
    """
    x, y = polygon.astype(np.float64).T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    perimeter = np.hypot(x - np.roll(x, -1), y - np.roll(y, -1)).sum()
    offset = min(int(area * (1 - ratio * ratio) / (perimeter + 0.001) + 0.5), MOST_OFFSET)
    clipper = pyclipper.PyclipperOffset()
    try:
        clipper.AddPath(polygon.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        pieces = clipper.Execute(-offset)
    except pyclipper.ClipperException:  # fewer than three different corners
        return polygon
    if not pieces or len({len(piece) for piece in pieces}) > 1 or len(pieces[0]) < 3:
        return polygon
    return np.array(pieces[0], polygon.dtype)


def fill(maps: np.ndarray, polygon: np.ndarray, value: int) -> None:
    """Fills a polygon, int32 [corners, 2], into uint8 [H, W], its edge included."""
    cv2.drawContours(maps, [polygon.reshape(-1, 1, 2)], -1, value, cv2.FILLED)


def draw(
    polygons: list[np.ndarray],
    readable: list[bool],
    shape: tuple[int, int],
    kernels: int = 7,
    smallest: float = 0.4,
) -> np.ndarray:
    """uint8 [kernels + 1, H, W] of 0 and 1: the text, its kernels from large to small, and last the training mask.

    ``polygons``: float or int [corners, 2] each, (x, y) in pixels of the picture of ``shape`` (H, W). Words that are
    not ``readable`` belong to text and kernels and are 0 in the training mask.
    """
    maps = np.zeros((kernels + 1, *shape), np.uint8)
    maps[-1] = 1
    for polygon, read in zip(polygons, readable, strict=True):
        whole = np.trunc(polygon).astype(np.int32)
        fill(maps[0], whole, 1)
        if not read:
            fill(maps[-1], whole, 0)
        for kernel in range(1, kernels):
            fill(maps[kernel], shrink(whole, shrink_ratio(kernel, kernels, smallest)), 1)
    return maps
