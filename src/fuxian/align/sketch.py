"""A sketch: what is kept of a tensor that is too large to keep.

A sketch of any tensor is one float64 vector of ``LENGTH`` numbers, in this order: element count, NaN count,
infinity count, sum, sum of absolute values, L2 norm, L3 norm, minimum, maximum, then ``POSITIONS`` elements at
fixed places and ``PROJECTIONS`` projections on seeded vectors of signs. The first nine do not change when
elements are permuted; the last two groups do, and a projection moves by the full error of a single element.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

POSITIONS = 16
PROJECTIONS = 8
MOMENTS = 9
LENGTH = MOMENTS + POSITIONS + PROJECTIONS
BLOCK = 8192
FILL = 1e8
"""Elements this large are what masks are filled with: they count as infinite, lest they hide all others."""

COUNT, NANS, INFINITIES, SUM, ABSOLUTE, L2, L3, LOW, HIGH = range(MOMENTS)


@lru_cache(maxsize=1)
def _signs() -> np.ndarray:
    """Signs that every sketch shares, (BLOCK, PROJECTIONS) float64."""
    return np.random.Generator(np.random.PCG64(20210417)).integers(0, 2, (BLOCK, PROJECTIONS)) * 2.0 - 1.0


@lru_cache(maxsize=64)
def _block_signs(blocks: int) -> np.ndarray:
    """One sign per block and projection, so that equal blocks at different places do not look alike."""
    return np.random.Generator(np.random.PCG64(2018)).integers(0, 2, (blocks, PROJECTIONS)) * 2.0 - 1.0


@lru_cache(maxsize=256)
def positions(count: int) -> np.ndarray:
    """The fixed places, (POSITIONS,) int64, at which a tensor of ``count`` elements is sampled."""
    return np.sort(np.random.Generator(np.random.PCG64(count)).integers(0, max(count, 1), POSITIONS))


def sketch(array: np.ndarray) -> np.ndarray:
    """The sketch of an array of any shape and real dtype: (LENGTH,) float64. Elements that are not finite, or as
    large as FILL, are counted apart and taken for 0."""
    flat = np.ascontiguousarray(array).reshape(-1)
    out = np.zeros(LENGTH)
    out[COUNT] = flat.size
    if not flat.size:
        return out
    sampled = flat[positions(flat.size)].astype(np.float64)
    sampled[~(np.abs(sampled) < FILL)] = 0.0
    block_signs = _block_signs(1 + (flat.size - 1) // BLOCK)
    signs = _signs()
    low, high, squares, cubes = np.inf, -np.inf, 0.0, 0.0
    span = 32 * BLOCK
    for start in range(0, flat.size, span):
        part = flat[start : start + span].astype(np.float64)
        ends = float(part.min()), float(part.max())
        if not (ends[0] > -FILL and ends[1] < FILL):
            ordinary = np.abs(part) < FILL
            out[NANS] += np.count_nonzero(np.isnan(part))
            out[INFINITIES] += np.count_nonzero(~ordinary & ~np.isnan(part))
            part[~ordinary] = 0.0
            ends = float(part.min()), float(part.max())
        low, high = min(low, ends[0]), max(high, ends[1])
        whole = part.size // BLOCK * BLOCK
        first = start // BLOCK
        if whole:
            projected = part[:whole].reshape(-1, BLOCK) @ signs
            out[MOMENTS + POSITIONS :] += (projected * block_signs[first : first + len(projected)]).sum(0)
        if whole < part.size:
            rest = part[whole:]
            out[MOMENTS + POSITIONS :] += (rest @ signs[: rest.size]) * block_signs[first + whole // BLOCK]
        out[SUM] += part.sum()
        np.abs(part, out=part)
        out[ABSOLUTE] += part.sum()
        square = part * part
        squares += float(square.sum())
        cubes += float(square @ part)
    out[L2], out[L3] = np.sqrt(squares), np.cbrt(cubes)
    out[LOW], out[HIGH] = low, high
    out[MOMENTS : MOMENTS + POSITIONS] = sampled
    return out


def scale(vector: np.ndarray) -> float:
    """The largest absolute element of the sketched tensor."""
    return float(max(abs(vector[LOW]), abs(vector[HIGH]))) if vector[COUNT] else 0.0


def same_arrangement(one: np.ndarray, two: np.ndarray, tolerance: float) -> bool:
    """Whether two sketches are of tensors that are equal element by element, to a relative ``tolerance``."""
    return same_elements(one, two, tolerance) and error(one, two) <= tolerance


def same_elements(one: np.ndarray, two: np.ndarray, tolerance: float) -> bool:
    """Whether two sketches are of tensors with the same elements, in any order."""
    if not np.array_equal(one[:3], two[:3]):
        return False
    size, norm = scale(two), two[L2]
    return bool(
        abs(one[SUM] - two[SUM]) <= tolerance * two[ABSOLUTE]
        and abs(one[ABSOLUTE] - two[ABSOLUTE]) <= tolerance * two[ABSOLUTE]
        and abs(one[L2] - two[L2]) <= tolerance * norm
        and abs(one[L3] - two[L3]) <= tolerance * two[L3]
        and abs(one[LOW] - two[LOW]) <= tolerance * size
        and abs(one[HIGH] - two[HIGH]) <= tolerance * size
    )


def error(one: np.ndarray, two: np.ndarray) -> float:
    """An estimate of the relative error of the first tensor against the second.

    The larger of: the error at the fixed places over the largest element, and the L2 norm of the error (the root
    mean square of the projections' differences estimates it) over the L2 norm. Infinite where sizes or the
    numbers of not-finite elements differ.
    """
    if not np.array_equal(one[:3], two[:3]):
        return float("inf")
    delta = np.abs(one - two)
    size, norm = scale(two), float(two[L2])
    if norm == 0.0:
        return 0.0 if one[L2] == 0.0 else float("inf")
    places = float(delta[MOMENTS : MOMENTS + POSITIONS].max()) / size
    projections = float(np.sqrt(np.mean(delta[MOMENTS + POSITIONS :] ** 2))) / norm
    return max(places, projections)
