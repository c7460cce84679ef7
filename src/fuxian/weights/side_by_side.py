"""Two files of weights side by side, and one file's figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fuxian.weights.layout import COUNTER, COUNTER_REASON, ROLES, squeezed

MAX_PREFIX = 4
LINEAR = "transposed: Paddle's Linear keeps [in, out], torch's [out, in]"
FLAT = "as one vector: Paddle's LayerNorm keeps it so"
"""The frameworks' conventions by which the same numbers lie otherwise."""


@dataclass(frozen=True)
class Difference:
    """One tensor in two files. ``max_abs`` and ``max_rel`` are None where the shapes differ.

    ``max_rel`` is the largest |a - b| / max(|a|, |b|). NaN and infinity count as different from all but
    themselves (then the error is infinite). ``second`` is the name in the second file where that is another one, and
    ``layout`` the convention by which the numbers were laid out anew before they were compared.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtypes: tuple[str, str]
    equal: bool
    max_abs: float | None
    max_rel: float | None
    second: str = ""
    layout: str = ""


@dataclass(frozen=True)
class Comparison:
    """What two sets of tensors have in common, and the names that only one has; with notes on how names were paired."""

    common: list[Difference]
    only_first: list[str]
    only_second: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether names, shapes, dtypes and values are the same."""
        same = all(d.equal and not d.second for d in self.common)
        return same and not self.only_first and not self.only_second

    @property
    def same_numbers(self) -> bool:
        """Whether the values are the same, under other names or in the other framework's layout perhaps."""
        left = [name for name in (*self.only_first, *self.only_second) if not _is_counter(name)]
        return bool(self.common) and not left and all(d.max_abs == 0 for d in self.common)


def compare(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Comparison:
    """Compare tensors of one name, or of names that differ by a prefix or by the framework's word for the same.

    Equal means: same name, shape, dtype and values (NaN equals NaN).
    """
    pairs, notes = _pairs(list(first), list(second))
    paired = set(pairs.values())
    common = []
    for name in first:
        if name in pairs:
            other = pairs[name]
            found = _laid_out(name, first[name], second[other])
            common.append(replace(found, second=other) if other != name else found)
    only_first = [name for name in first if name not in pairs]
    only_second = [name for name in second if name not in paired]
    if any(map(_is_counter, (*only_first, *only_second))):
        notes.append(f"{COUNTER} has no counterpart: {COUNTER_REASON}")
    return Comparison(common, only_first, only_second, notes)


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] == COUNTER


def _common_name(name: str) -> str:
    """The name with one word for what the frameworks call differently."""
    path, dot, role = name.rpartition(".")
    return path + dot + ROLES.get(role, role)


def _pairs(first: Sequence[str], second: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Which name of the first file is which of the second: as it is, by the frameworks' words, or without prefixes."""
    pairs = {name: name for name in set(first) & set(second)}
    by_common: dict[str, list[str]] = defaultdict(list)
    for name in second:
        if name not in pairs:
            by_common[_common_name(name)].append(name)
    for name in first:
        others = by_common.get(_common_name(name), [])
        if name not in pairs and len(others) == 1 and others[0] not in pairs.values():
            pairs[name] = others[0]
    notes: list[str] = []
    while True:
        taken = set(pairs.values())
        found = _by_prefixes([n for n in first if n not in pairs], [n for n in second if n not in taken])
        if not found:
            return pairs, notes
        (prefixes, best), *rest = sorted(found.items(), key=lambda item: -len(item[1]))
        alike = [other for other, names in rest if len(names) == len(best) and _share(names, best)]
        if alike:
            sides = " and ".join(_words(one) for one in (prefixes, *alike))
            notes.append(f"{sides} fit the same names, so none was taken")
            return pairs, notes
        pairs |= best
        notes.append(f"{len(best)} names were paired without {_words(prefixes)}")


def _share(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return bool(set(one) & set(other)) or bool(set(one.values()) & set(other.values()))


def _words(prefixes: tuple[str, str]) -> str:
    return " and ".join(
        f"the {side}'s {prefix!r}"
        for side, prefix in zip(("first", "second"), prefixes, strict=True)
        if prefix
    )


def _by_prefixes(first: Sequence[str], second: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """For every two prefixes the names that they pair, each name by its longest ending that both files have."""
    ends: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in second:
        for prefix, rest in _ends(name):
            ends[rest].append((prefix, name))
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for name in first:
        for prefix, rest in _ends(name):
            others = [(p, n) for p, n in ends.get(rest, ()) if "." in rest or not (p and prefix)]
            for other_prefix, other in others:
                found[prefix, other_prefix][name] = other
            if others:
                break
    return found


def _ends(name: str) -> list[tuple[str, str]]:
    """The prefixes that the name may have, none first, and what is left of it without each."""
    name = _common_name(name)
    parts = name.split(".")
    return [
        ("".join(f"{part}." for part in parts[:count]), ".".join(parts[count:]))
        for count in range(min(len(parts), MAX_PREFIX + 1))
    ]


def _laid_out(name: str, a: np.ndarray, b: np.ndarray) -> Difference:
    """The difference of two tensors, in the other framework's layout where only that fits, or only that is equal."""
    found = _difference(name, a, b)
    if found.max_abs == 0:
        return found
    if a.ndim == b.ndim == 2 and a.shape == b.shape[::-1]:
        turned = _difference(name, a.T, b)
        if turned.max_abs == 0 or a.shape != b.shape:
            return replace(turned, shapes=(a.shape, b.shape), equal=False, layout=LINEAR)
    elif (
        a.size == b.size
        and min(a.ndim, b.ndim) == 1
        and max(len(squeezed(a.shape)), len(squeezed(b.shape))) > 1
    ):
        flat = _difference(name, a.ravel(), b.ravel())
        if flat.max_abs == 0:
            return replace(flat, shapes=(a.shape, b.shape), equal=False, layout=FLAT)
    return found


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
