"""What turns one tensor into another: a factor, a term, an order of elements, a function, an axis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product

import numpy as np

from fuxian.align.diagnose import kernels
from fuxian.align.diagnose.tried import Hypothesis, error, number


def elementwise(port: np.ndarray, reference: np.ndarray) -> Iterator[Hypothesis]:
    """A factor, sign or constant, a narrower type, another order: of outputs of the same inputs."""
    before = error(port, reference)
    if (port.shape == reference.shape and port.size > 1) or (port.size == reference.size == 1):
        one, two = port.reshape(-1).astype(np.float64), reference.reshape(-1).astype(np.float64)
        finite = np.isfinite(one) & np.isfinite(two)
        one, two = one[finite], two[finite]
        norm = float(one @ one)
        if norm and one.size > 1:
            factor = float(one @ two / norm)
            after = error(one * factor, two)
            if factor:
                cause = "sign" if np.isclose(factor, -1) else "scale_factor"
                yield Hypothesis(cause, f"multiplied by {number(factor)}", before, after, 1)
            offset = float((two - one).mean())
            yield Hypothesis(
                "constant_offset", f"with {number(offset)} added", before, error(one + offset, two), 1
            )
    if not np.isfinite(before) and port.size != reference.size:
        return
    if port.shape == reference.shape:
        for kind in ("float16", "float32"):
            with np.errstate(all="ignore"):
                narrow = reference.astype(kind).astype(np.float64)
            after = error(narrow, port)
            if after <= 1e-3 * before:
                yield Hypothesis("precision", f"against the reference rounded to {kind}", before, after, 1)
    yield from reordered(port, reference)


def reordered(port: np.ndarray, reference: np.ndarray) -> Iterator[Hypothesis]:
    """The same elements in another order."""
    if port.size != reference.size or port.size < 2:
        return
    before = error(port.reshape(reference.shape), reference)
    one, two = np.sort(port.reshape(-1)), np.sort(reference.reshape(-1))
    after = error(one.astype(np.float64), two.astype(np.float64))
    if not np.isfinite(after) or after > 0.02 * before or one[0] == one[-1]:
        return
    if 1 < port.ndim <= 5:
        for axes in permutations(range(port.ndim)):
            turned = port.transpose(axes)
            if list(axes) != sorted(axes) and turned.shape == reference.shape:
                yield Hypothesis(
                    "permutation", f"with axes {list(axes)}", before, error(turned, reference), 2
                )
            elif list(axes) != sorted(axes):
                reshaped = np.ascontiguousarray(turned).reshape(reference.shape)
                yield Hypothesis(
                    "permutation", f"with axes {list(axes)}, reshaped,", before, error(reshaped, reference), 3
                )
    yield Hypothesis("permutation", "with its elements in another order", before, after, 4)


def function_of(source: np.ndarray, result: np.ndarray) -> tuple[str, str] | None:
    """The elementwise function (words, kind) that makes the result of the source."""
    if source.shape != result.shape or not source.size:
        return None
    source = source.astype(np.float64)
    found = []
    with np.errstate(all="ignore"):
        for words, (kind, function) in kernels.UNARY.items():
            after = error(function(source), result)
            if after < 1e-5:
                found.append((after, words, kind))
        if not found:
            negative = (source < 0) & (np.abs(source) > 1e-6)
            if negative.any() and error(np.maximum(source, 0), np.maximum(result, 0)) < 1e-6:
                slopes = result[negative] / source[negative]
                if np.ptp(slopes) < 1e-4:
                    return f"leaky relu of slope {slopes.mean():.4g}", "leaky_relu"
            inner = (result > 0.02) & (result < 0.98)
            if inner.sum() > 2 and np.ptp(source[inner]) > 1e-6 and result.min() >= 0 and result.max() <= 1:
                slope, offset = np.polyfit(source[inner], result[inner], 1)
                if error(np.clip(source * slope + offset, 0, 1), result) < 1e-5:
                    return f"hard sigmoid of slope {slope:.4g}", "hardsigmoid"
            low, high = float(result.min()), float(result.max())
            if error(np.clip(source, low, high), result) < 1e-7 and low < high:
                return f"clipping to {low:.4g}..{high:.4g}", "clip"
    if not found:
        return None
    _, words, kind = min(found)
    return words, kind


def reduction_of(source: np.ndarray, result: np.ndarray) -> tuple[str, tuple[int, ...]] | None:
    """The reduction (its name, its axes) that makes the result of the source."""
    if source.size < result.size or source.ndim > 6:
        return None
    source = source.astype(np.float64)
    wanted = result.astype(np.float64).reshape(-1)
    for count in range(1, source.ndim + 1):
        for axes in combinations(range(source.ndim), count):
            kept = int(np.prod([source.shape[a] for a in range(source.ndim) if a not in axes]))
            if kept != wanted.size:
                continue
            for name, function in kernels.REDUCTIONS.items():
                with np.errstate(all="ignore"):
                    made = np.asarray(function(source, axis=axes)).reshape(-1)
                if error(made, wanted) < 1e-6:
                    return name, axes
    return None


def padding_of(source: np.ndarray, result: np.ndarray) -> tuple[tuple[int, int], ...] | None:
    """How many elements were put before and after the source along each axis to make the result."""
    if source.ndim != result.ndim:
        return None
    added = [long - short for long, short in zip(result.shape, source.shape, strict=True)]
    if min(added, default=0) < 0 or np.prod([n + 1.0 for n in added]) > 1000:
        return None
    for before in product(*(range(n + 1) for n in added)):
        inside = tuple(slice(b, b + n) for b, n in zip(before, source.shape, strict=True))
        if error(result[inside], source) < 1e-6:
            return tuple((b, n - b) for b, n in zip(before, added, strict=True))
    return None


def softmax_axis(source: np.ndarray, result: np.ndarray) -> int | None:
    """The axis of a softmax."""
    for axis in range(source.ndim):
        if error(kernels.softmax(source.astype(np.float64), axis), result) < 1e-6:
            return axis
    return None


def constant_of(source: np.ndarray, result: np.ndarray, operation: str) -> float | None:
    """The number that a tensor is multiplied with, divided by, raised to, or that is added to it."""
    if source.size != result.size or not source.size:
        return None
    source, result = source.reshape(-1).astype(np.float64), result.reshape(-1).astype(np.float64)
    used = (np.abs(source) > 1e-8 * (np.abs(source).max() or 1)) & np.isfinite(result) & np.isfinite(source)
    if not used.any():
        return None
    with np.errstate(all="ignore"):
        if operation in ("multiply", "divide", "scale"):
            values = result[used] / source[used]
        elif operation in ("add", "sub"):
            values = result[used] - source[used]
        elif operation == "pow":
            inside = used & (source > 0) & (np.abs(source - 1) > 1e-6)
            values = np.log(result[inside]) / np.log(source[inside])
        else:
            return None
    if (
        not values.size
        or not np.isfinite(values).all()
        or np.ptp(values) > 1e-6 * max(np.abs(values).max(), 1e-12)
    ):
        return None
    return float(np.median(values))
