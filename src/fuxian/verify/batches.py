"""Batches on disk, between the organiser's process, the sandbox and the scorer: numbers alone, one .npz a batch.

A leaf's name is its path in the tree, as in ``inputs.0.boxes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.recipe import leaves, tree_of


def batch_name(number: int) -> str:
    """The file of a batch, without its ending."""
    return f"{number:04d}"


def write_tree(file: Path, parts: dict[str, Any], *, text: bool = False) -> None:
    """Writes the arrays of trees by name; ``text`` lets strings be among them.

    Raises InputError for a leaf that is neither.
    """
    arrays = {}
    for path, leaf in leaves(parts):
        array = np.asarray(leaf)
        if array.dtype.kind not in ("biufcU" if text else "biufc"):
            raise InputError(
                f"the leaf {path} of a drawn batch is {array.dtype}, not numbers; draw numbers alone."
            )
        arrays[path] = array
    with file.open("wb") as out:
        np.savez(out, allow_pickle=False, **arrays)


def read_tree(file: Path) -> dict[str, Any]:
    """The inverse of ``write_tree``: tuples where names are numbers, else dicts."""
    with np.load(file, allow_pickle=False) as stored:
        return tree_of({name: stored[name] for name in stored.files})


def inputs_in(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every batch of inputs in a folder of a drawn test, by name, in order."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"{folder}: there is no batch of inputs (0000.npz and so on).")
    for file in files:
        yield file.stem, read_tree(file)["inputs"]
