"""Generated kernels of the size that the network gives at 736 x 1312, the same on every machine.

Words are rotated quadrilaterals at a quarter of the size, eroded step by step into seven levels; uneven noise on a
coarse grid frays the edges and lets neighbours touch; the sum is scaled up and cut at seven heights. Integers only,
so that no processor rounds differently.
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

HEIGHT, WIDTH = 736, 1312
KERNELS = 7
MIN_AREA = 16
COUNT = 500
_STEP = 30


def kernels(index: int) -> np.ndarray:
    """uint8 [7, 736, 1312], 0 or 1; each lies in the one before."""
    rng = np.random.default_rng([736, index])
    height, width = HEIGHT // 4, WIDTH // 4
    words = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(5, 60))):
        x, y = rng.integers(0, (width, height))
        long, short = rng.integers(10, 60), rng.integers(5, 18)
        slant = int(rng.integers(-8, 9))
        corners = [(x, y), (x + long, y + slant), (x + long, y + slant + short), (x, y + short)]
        cv2.fillPoly(words, [np.array(corners, np.int32)], 1)
    coarse = rng.integers(0, 2 * _STEP, (height // 4, width // 4), dtype=np.uint8)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    heights = np.asarray(noise, np.uint8) // 2
    square = np.ones((3, 3), np.uint8)
    for _ in range(KERNELS):
        heights += _STEP * words
        words = np.asarray(cv2.erode(words, square), np.uint8)
    full = cv2.resize(heights, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR_EXACT)
    cuts = _STEP * np.arange(1, KERNELS + 1, dtype=np.uint8)[:, None, None]
    return (full[None] > cuts).astype(np.uint8)


def digest(array: np.ndarray) -> str:
    """The first 16 hexadecimal digits of the sha256 of the array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]
