"""Two files of weights side by side, and one file's figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """One tensor in two files. ``max_abs`` and ``max_rel`` are None where the shapes differ.

    ``max_rel`` is the largest |a - b| / max(|a|, |b|). NaN and infinity count as different from all but
    themselves (then the error is infinite).
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtypes: tuple[str, str]
    equal: bool
    max_abs: float | None
    max_rel: float | None


@dataclass(frozen=True)
class Comparison:
    """What two sets of tensors have in common, and the names that only one has."""

    common: list[Difference]
    only_first: list[str]
    only_second: list[str]

    @property
    def equal(self) -> bool:
        return not self.only_first and not self.only_second and all(d.equal for d in self.common)


def compare(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Comparison:
    """Compare tensors of one name. Equal means: same shape, same dtype, same values (NaN equals NaN)."""
    return Comparison(
        [_difference(name, first[name], second[name]) for name in first if name in second],
        [name for name in first if name not in second],
        [name for name in second if name not in first],
    )


def _difference(name: str, a: np.ndarray, b: np.ndarray) -> Difference:
    shapes, dtypes = (a.shape, b.shape), (str(a.dtype), str(b.dtype))
    if a.shape != b.shape:
        return Difference(name, shapes, dtypes, False, None, None)
    wide = np.complex128 if "c" in (a.dtype.kind, b.dtype.kind) else np.float64
    x, y = a.astype(wide).ravel(), b.astype(wide).ravel()
    # int64 beyond 2**53 would compare equal as float64.
    same = (a.ravel() == b.ravel()) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(same, 0.0, np.abs(x - y))
        error[~np.isfinite(error)] = np.inf
        larger = np.maximum(np.abs(x), np.abs(y))
        relative = np.where(error == 0, 0.0, error / np.where(larger > 0, larger, 1.0))
        relative[np.isinf(error)] = np.inf
    max_abs, max_rel = float(error.max(initial=0.0)), float(relative.max(initial=0.0))
    equal = bool(same.all()) and dtypes[0] == dtypes[1]
    return Difference(name, shapes, dtypes, equal, max_abs, max_rel)


@dataclass(frozen=True)
class Figures:
    """One tensor's figures over its finite elements (None where there are none); NaN and Inf are counted."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    nan: int
    infinite: int


def figures(name: str, array: np.ndarray) -> Figures:
    """The figures of a numeric tensor; those of a complex one are its magnitude's."""
    values = (np.abs(array) if array.dtype.kind == "c" else array).astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    nan = int(np.isnan(values).sum())
    statistics: tuple[float | None, ...] = (None,) * 4
    if finite.size:
        statistics = tuple(float(f(finite)) for f in (np.mean, np.std, np.min, np.max))
    mean, std, low, high = statistics
    return Figures(
        name, array.shape, str(array.dtype), mean, std, low, high, nan, values.size - finite.size - nan
    )
