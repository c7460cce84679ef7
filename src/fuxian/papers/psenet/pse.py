"""Progressive scale expansion (paper, section 3.1.2, algorithm 1), compiled by Numba.

The components of the smallest kernel are the text instances; each grows into the next larger kernel, pixel by pixel
in breadth-first order, first come first served, until the largest (the text itself) is filled. Which of two instances
gets a pixel that both reach depends on the order of the queue, so that order is part of the definition.

A pixel that grew in a round leaves the queue for good, as in the official code. What is done otherwise here: a pixel
that has no free neighbour in any kernel to come is dropped as well. It could do nothing any more, so neither a label
nor the order of the others changes, and the queue holds edges instead of whole instances. One array is queue and next
queue at once: what is kept for the next round is written where this round has already read.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit

from fuxian.errors import InputError

MOST_KERNELS = 64
MOST_PIXELS = 2**31 - 2**17
"""Pixels are numbered in int32, frame included."""


def pse(kernels: np.ndarray, min_area: float = 0) -> np.ndarray:
    """Labels of text instances, grown from the smallest kernel. Linear in pixels; 9 to 17 bytes each.

    Args:
        kernels: uint8 or bool [n, H, W], not 0 where a pixel belongs to a kernel; ``kernels[0]`` is the whole text,
            ``kernels[-1]`` the smallest kernel. They need not lie in one another.
        min_area: components of the smallest kernel with fewer pixels do not grow.

    Returns:
        int32 [H, W], 0 for background. Instances are numbered from 1 in the order of their kernels' first pixels,
        row by row; the numbers of components below ``min_area`` are not given to others.

    Raises InputError for another shape or dtype.
    """
    if (
        kernels.ndim != 3
        or kernels.dtype not in (np.uint8, np.bool_)
        or not 1 <= len(kernels) <= MOST_KERNELS
    ):
        raise InputError(
            f"the kernels are {kernels.dtype} {list(kernels.shape)}; give uint8 or bool [n, H, W] with n from 1 to"
            f" {MOST_KERNELS}."
        )
    if kernels[0].size > MOST_PIXELS:
        raise InputError(
            f"the kernels have {kernels[0].size} pixels and at most {MOST_PIXELS} work; scale them down."
        )
    if not kernels[0].size:
        return np.zeros(kernels.shape[1:], np.int32)
    maps = np.ascontiguousarray(kernels).view(np.uint8)
    count, labels = cv2.connectedComponents(maps[-1], connectivity=4, ltype=cv2.CV_32S)
    framed = (labels.shape[0] + 2) * (labels.shape[1] + 2)
    member = np.zeros(framed, np.uint8 if len(maps) <= 8 else np.uint64)
    _grow(maps, labels, count, float(min_area), member)
    return labels


def _compiled(function):
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder can be written: each process compiles anew
        return njit(nogil=True)(function)


@_compiled
def _grow(maps, labels, count, min_area, member):
    """Grows ``labels`` (int32 [H, W], ``count`` with the background) in place.

    ``member`` is zeros for each pixel of a picture with a frame of one pixel; it becomes the set of kernels that
    hold the pixel, bit by bit, and empty again when the pixel has a label. The frame belongs to no kernel, which
    spares the tests for the picture's edges.
    """
    kernels, height, width = maps.shape
    area = np.zeros(count, np.int64)
    for y in range(height):
        for x in range(width):
            area[labels[y, x]] += 1

    stride = width + 2
    zero, one = member.dtype.type(0), member.dtype.type(1)
    pred = np.zeros(member.size, np.int32)
    text = 0
    for y in range(height):
        begin = (y + 1) * stride + 1
        row = member[begin : begin + width]
        for kernel in range(kernels):
            bit = member.dtype.type(one << kernel)
            pixels = maps[kernel, y]
            for x in range(width):
                row[x] |= bit if pixels[x] else zero
        for x in range(width):
            text += row[x] != 0
        grown = pred[begin : begin + width]
        for x in range(width):
            label = labels[y, x]
            if label and area[label] >= min_area:
                grown[x] = label
                row[x] = zero

    steps = (-stride, stride, -1, 1)
    queue = np.empty(text, np.int32)
    tail = 0
    growing = member.dtype.type((one << (kernels - 1)) - one)
    for at in range(stride + 1, member.size - stride - 1):
        if pred[at]:
            around = zero
            for step in steps:
                around |= member[at + step]
            if around & growing:
                queue[tail] = at
                tail += 1

    for kernel in range(kernels - 2, -1, -1):
        here = member.dtype.type(one << kernel)
        later = member.dtype.type(here - one)
        head = kept = 0
        while head < tail:
            at = queue[head]
            head += 1
            grew = False
            around = zero
            for step in steps:
                near = at + step
                if member[near] & here:
                    member[near] = zero
                    pred[near] = pred[at]
                    queue[tail] = near
                    tail += 1
                    grew = True
                else:
                    around |= member[near]
            if around & later and not grew:
                queue[kept] = at
                kept += 1
        tail = kept

    for y in range(height):
        begin = (y + 1) * stride + 1
        labels[y] = pred[begin : begin + width]
