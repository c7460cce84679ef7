"""The parts of a nested file that hold weights: which there are, which is meant, and one of them as named tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.weights.inert_pickle import Damaged, Foreign, PendingArray, Refused

WRAPPERS = ("state_dict", "model_state_dict", "model", "params")
AVERAGED = "ema"
"""What stands in the name of a part that holds a moving average of the weights."""
PADDLE_NAME_TABLE = "StructuredToParameterName@@"
MAX_DEPTH = 32
MAX_LEAVES = 1_000_000
MAX_PART_DEPTH = 3
MAX_PARTS = 64


def chosen_part(path: Path, tree: Any) -> str:
    """The key of the part that a file means without being asked; ``""`` is all of it.

    Raises InputError where several may be meant, or where the weights are inside an object.
    """
    if not isinstance(tree, dict):
        return ""
    found = [name for name in WRAPPERS if _holds_tensors(tree.get(name))]
    if len(found) > 1 and found[1:] != ["params"]:
        raise InputError(f"{path}: holds weights under {' and '.join(found)}; choose one with key.")
    if found and not any(_is_tensor(node) and _size(node) > 1 for node in tree.values()):
        return found[0]
    if not found:
        objects = [name for name in (*WRAPPERS, AVERAGED) if isinstance(tree.get(name), Foreign)]
        if objects:
            raise Refused(in_object(path, tree, objects[0]))
    return ""


def parts(tree: Any) -> list[str]:
    """The keys of every part that holds tensors of its own, the likeliest first; all of it, ``""``, comes last."""

    def below(node: Any, name: str, depth: int) -> Iterator[str]:
        if isinstance(node, dict) and depth <= MAX_PART_DEPTH:
            for key, value in node.items():
                if isinstance(key, str) and isinstance(value, dict) and key != PADDLE_NAME_TABLE:
                    path = f"{name}.{key}" if name else key
                    if _holds_tensors(value):
                        yield path
                    yield from below(value, path, depth + 1)

    def rank(name: str) -> tuple[bool, int, int]:
        first = name.partition(".")[0]
        order = WRAPPERS.index(first) if first in WRAPPERS else len(WRAPPERS)
        return AVERAGED in name.lower(), order, name.count(".")

    found = [name for name, _ in zip(below(tree, "", 1), range(MAX_PARTS), strict=False)]
    return [*sorted(found, key=rank), ""]


def part(path: Path, tree: Any, key: str) -> Any:
    """What lies under the key. Raises InputError where that is no dict."""
    if not key:
        return tree
    found = tree
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, Foreign):
        raise Refused(in_object(path, tree, key))
    if not isinstance(found, dict):
        names = ", ".join(repr(name)[:60] for name in list(tree)[:5]) if isinstance(tree, dict) else "nothing"
        raise InputError(f"{path}: no dict lies under {key!r}; at the top lie {names}.")
    return found


def left_out(tree: Any, key: str) -> list[str]:
    """What lies at the top beside a part, in words."""
    first = key.partition(".")[0]
    names = [name for name in tree if name not in (first, PADDLE_NAME_TABLE)]
    return [f"{str(name)[:60]!r}{_kind(tree[name])}" for name in names]


def in_object(path: Path, tree: Any, key: str) -> str:
    """The sentence for weights inside an object of a class, which ends in what helps."""
    held = tree
    for name in key.split(".") if key else ():
        held = held[name]
    place = f"under {key!r}" if key else "at the top"
    taken = "".join(f"[{name!r}]" for name in key.split(".")) if key else ""
    paddle = path.suffix.lower() in (".pdparams", ".pdopt")
    load = f"paddle.load({path.name!r})" if paddle else f"torch.load({path.name!r}, weights_only=False)"
    name, ending = ("paddle", ".pdparams") if paddle else ("torch", ".pth")
    new = path.name.partition(".")[0] + "-weights" + ending
    return (
        f"holds an object of {held.kind} {place}, which only its own code opens; if you trust the file, run"
        f' `python -c "import {name}; {name}.save({load}{taken}.state_dict(), {new!r})"`'
        " where that code is installed, and take what it saves"
    )


def objects(tree: Any) -> list[str]:
    """Every object of another class with its key, in words."""
    return [f"{name or 'the top'}{_kind(leaf)}" for name, leaf in _walk(tree) if isinstance(leaf, Foreign)]


def flatten(tree: Any, notes: list[str]) -> dict[str, np.ndarray]:
    """Every tensor by its dotted path; what is none is named in the notes."""
    tensors: dict[str, np.ndarray] = {}
    others: list[str] = []
    for name, leaf in _walk(tree):
        if isinstance(leaf, PendingArray):
            if leaf.boxed is not None:
                raise Refused("holds an array of Python objects")
            if leaf.array is None:
                raise Damaged("an array has no content")
            array = leaf.array
        elif isinstance(leaf, np.ndarray):
            array = leaf
        else:
            others.append(name[:60] + _kind(leaf))
            continue
        if name in tensors:
            raise Refused(f"holds two tensors named {name[:60]!r}")
        tensors[name] = array
    if others:
        more = f" and {len(others) - 10} more" if len(others) > 10 else ""
        notes.append(f"left out, being no tensors: {', '.join(others[:10])}{more}")
    return tensors


def _kind(node: Any) -> str:
    return f" ({node.kind})" if isinstance(node, Foreign) else ""


def _holds_tensors(node: Any) -> bool:
    return isinstance(node, dict) and any(_is_tensor(value) for value in node.values())


def _is_tensor(node: Any) -> bool:
    return isinstance(node, (np.ndarray, PendingArray)) or (
        isinstance(node, tuple) and len(node) == 2 and isinstance(node[1], PendingArray)
    )


def _size(node: Any) -> int:
    array = node[1] if isinstance(node, tuple) else node
    array = array.array if isinstance(array, PendingArray) else array
    return array.size if array is not None else 0


def _walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted path; refuses structures that unfold without end."""
    left = MAX_LEAVES

    def visit(node: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
        nonlocal left
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            raise Refused(f"nests deeper than {MAX_DEPTH} levels or wider than {MAX_LEAVES} entries")
        if isinstance(node, tuple) and _is_tensor(node):
            yield name, node[1]
        elif isinstance(node, (dict, list, tuple)):
            pairs = node.items() if isinstance(node, dict) else enumerate(node)
            for key, value in pairs:
                if key != PADDLE_NAME_TABLE:
                    yield from visit(value, f"{name}.{key}" if name else str(key), depth + 1)
        else:
            yield name, node

    return visit(tree, "", 0)
