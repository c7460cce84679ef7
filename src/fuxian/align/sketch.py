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

SPAN = 64 * BLOCK
_SMALL = 1e-8
"""Where no element of a span is larger, powers are taken in float64: float32 has no number as small as their cubes."""

COUNT, NANS, INFINITIES, SUM, ABSOLUTE, L2, L3, LOW, HIGH = range(MOMENTS)


@lru_cache(maxsize=1)
def _signs() -> np.ndarray:
    """Signs that every sketch shares, (PROJECTIONS, BLOCK) float64."""
    drawn = np.random.Generator(np.random.PCG64(20210417)).integers(0, 2, (BLOCK, PROJECTIONS))
    return np.ascontiguousarray(drawn.T * 2.0 - 1.0)


@lru_cache(maxsize=64)
def _block_signs(blocks: int) -> np.ndarray:
    """One sign per block and projection, so that equal blocks at different places do not look alike, and a row of
    ones, which gives the plain sum: (PROJECTIONS + 1, blocks) float64."""
    drawn = np.random.Generator(np.random.PCG64(2018)).integers(0, 2, (blocks, PROJECTIONS))
    return np.concatenate([drawn.T * 2.0 - 1.0, np.ones((1, blocks))])


@lru_cache(maxsize=256)
def positions(count: int) -> np.ndarray:
    """The fixed places, (POSITIONS,) int64, at which a tensor of ``count`` elements is sampled."""
    return np.sort(np.random.Generator(np.random.PCG64(count)).integers(0, max(count, 1), POSITIONS))


def sketch(array: np.ndarray) -> np.ndarray:
    """The sketch of an array of any shape and real dtype: (LENGTH,) float64. Elements that are not finite, or as
    large as FILL, are counted apart and taken for 0.

    Float32 is worked on as it is, in spans whose sums are added up in float64: that is several times faster, and
    the rounding it adds is below that of any float32 computation.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    out = np.zeros(LENGTH)
    if not flat.size:
        return out
    block_signs = _block_signs(1 + (flat.size - 1) // BLOCK)
    starts = range(0, flat.size, SPAN)
    spans = np.array([_span(flat[at : at + SPAN], block_signs[:, at // BLOCK :]) for at in starts])
    out[:] = spans.sum(0)
    out[COUNT], out[L2], out[L3] = flat.size, np.sqrt(out[L2]), np.cbrt(out[L3])
    out[LOW], out[HIGH] = spans[:, LOW].min(), spans[:, HIGH].max()
    sampled = flat[positions(flat.size)].astype(np.float64)
    sampled[~(np.abs(sampled) < FILL)] = 0.0
    out[MOMENTS : MOMENTS + POSITIONS] = sampled
    return out


def _span(part: np.ndarray, block_signs: np.ndarray) -> np.ndarray:
    """What a span gives to the sketch, (LENGTH,) float64: L2 and L3 as sums of powers, no fixed places."""
    out = np.zeros(LENGTH)
    if part.dtype != np.float32:
        part = part.astype(np.float64)
    low, high = float(part.min()), float(part.max())
    if not (low > -FILL and high < FILL):
        ordinary = np.abs(part) < FILL
        out[NANS] = np.count_nonzero(np.isnan(part))
        out[INFINITIES] = part.size - np.count_nonzero(ordinary) - out[NANS]
        part = np.where(ordinary, part, part.dtype.type(0))
        low, high = float(part.min()), float(part.max())
    if max(-low, high) < _SMALL:
        part = part.astype(np.float64)
    out[MOMENTS + POSITIONS :], out[SUM] = _projected(part, block_signs)
    out[ABSOLUTE], out[L2], out[L3] = _powers(part)
    out[LOW], out[HIGH] = low, high
    return out


def _projected(part: np.ndarray, block_signs: np.ndarray) -> tuple[np.ndarray, float]:
    """A span's projections, (PROJECTIONS,) float64, and its sum: over the blocks first, one small matrix product."""
    blocks = part.size // BLOCK
    whole = part[: blocks * BLOCK].reshape(blocks, BLOCK)
    kept = (block_signs[:, :blocks].astype(part.dtype) @ whole).astype(np.float64)
    projections, total = np.einsum("ij,ij->i", kept[:-1], _signs()), kept[-1].sum()
    rest = part[blocks * BLOCK :].astype(np.float64)
    if rest.size:
        projections += (_signs()[:, : rest.size] @ rest) * block_signs[:-1, blocks]
    return projections, float(total + rest.sum())


def _powers(part: np.ndarray) -> tuple[float, float, float]:
    """Sums over a span of the elements' absolute first, second and third powers."""
    absolute = np.abs(part)
    power = absolute * absolute
    first, second = _sum(absolute), _sum(power)
    power *= absolute
    return first, second, _sum(power)


def _sum(part: np.ndarray) -> float:
    """The sum over a span, over the blocks first as a product: faster than numpy's sum, and no less exact."""
    blocks = part.size // BLOCK
    whole = np.ones(blocks, part.dtype) @ part[: blocks * BLOCK].reshape(blocks, BLOCK)
    return float(whole.sum(dtype=np.float64) + part[blocks * BLOCK :].sum(dtype=np.float64))


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
