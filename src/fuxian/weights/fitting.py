"""Finds the part of a file, and the prefix of its names, that fit a model: what training scripts wrap weights in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fuxian.errors import InputError
from fuxian.weights.storage import Stored

Tensors = Mapping[str, np.ndarray]
MAX_PREFIX = 4
"""Levels of nesting that a wrapper adds to names at most."""


def first_fitting(
    parts: Sequence[Stored], convert: Callable[[Stored], dict[str, np.ndarray]]
) -> tuple[Stored, dict[str, np.ndarray]]:
    """The first part that can be converted, with a note on others like it, and what became of it.

    Raises the InputError of the likeliest part where none can be.
    """
    refused: InputError | None = None
    for part in parts:
        try:
            made = convert(part)
        except InputError as error:
            refused = refused or error
            continue
        shapes = _shapes(part.tensors)
        alike = [repr(p.part) for p in parts if p.part and p is not part and _shapes(p.tensors) == shapes]
        note = f"{' and '.join(alike)} would fit as well; --key takes another part" if alike else ""
        return replace(part, notes=[*part.notes, *([note] if note else [])]), made
    assert refused is not None  # noqa: S101
    raise refused


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def with_prefix(
    tensors: Tensors, prefix: str, known: Collection[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tensors whose names begin with the prefix, without it, and others that the model knows; with notes.

    Raises InputError when no name begins with it.
    """
    if not prefix:
        return dict(tensors), []
    taken = {n.removeprefix(prefix): tensor for n, tensor in tensors.items() if n.startswith(prefix)}
    if not taken:
        begins = list(dict.fromkeys(name.partition(".")[0] for name in tensors))
        raise InputError(
            f"--prefix {prefix}: no name begins with it; names begin with {', '.join(begins[:8])}."
        )
    others = [name for name in tensors if not name.startswith(prefix)]
    taken |= {name: tensors[name] for name in others if name in known and name not in taken}
    left = [name for name in others if name not in taken]
    more = f" and {len(left) - 8} more" if len(left) > 8 else ""
    return taken, [f"left out, without the prefix {prefix!r}: {', '.join(left[:8])}{more}"] if left else []


def as_known(tensors: Tensors, known: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tensors under the model's names, where these differ by what stands before them; and what was done, in notes.

    Raises InputError where two prefixes fit the same names.
    """
    names: dict[str, list[str]] = defaultdict(list)
    changes: dict[str, str] = {}
    for name in tensors:
        new = name if name in known else _without(name, known)
        if new is not None:
            names[new].append(name)
            changes[name] = new
    added = _with_missing(tensors, [n for n in tensors if n not in changes], set(known) - set(names))
    changes |= added
    clashes = [sorted(old.removesuffix(new) for old in olds) for new, olds in names.items() if len(olds) > 1]
    if clashes:
        shown = " and ".join(repr(prefix) for prefix in clashes[0])
        raise InputError(f"Names with {shown} before them fit the same tensors; choose with --prefix.")
    notes = []
    for words, of in (
        ("left out of", lambda old, new: old.removesuffix(new) if old != new and old.endswith(new) else ""),
        ("put before", lambda old, new: new.removesuffix(old) if old != new and new.endswith(old) else ""),
    ):
        counts: dict[str, int] = defaultdict(int)
        for old, new in changes.items():
            counts[of(old, new)] += 1
        notes += [
            f"the prefix {prefix!r} was {words} {count} names; --prefix chooses another"
            for prefix, count in counts.items()
            if prefix
        ]
    return {changes.get(name, name): tensor for name, tensor in tensors.items()}, notes


def _without(name: str, known: Collection[str]) -> str | None:
    rest = name
    for _ in range(MAX_PREFIX):
        _, dot, rest = rest.partition(".")
        if dot and rest in known:
            return rest
    return None


def _with_missing(tensors: Tensors, unknown: Sequence[str], missing: Collection[str]) -> dict[str, str]:
    """The unknown names with the one prefix before them that makes missing ones of them all, where there is one."""
    if not unknown:
        return {}
    prefixes = [name.removesuffix(unknown[0]) for name in missing if name.endswith(f".{unknown[0]}")]
    fitting = [p for p in prefixes if all(p + name in missing for name in unknown)]
    return {name: fitting[0] + name for name in unknown} if len(fitting) == 1 else {}
