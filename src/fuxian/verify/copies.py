"""Files of a submission that hold its trained weights once more, under whatever name.

A training that is replayed, and a network that predicts, must not find there what it should arrive at. They are taken
out of the copies that such runs see and held against nobody: an exported network is one too.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from fuxian import deadline
from fuxian.errors import InputError
from fuxian.submission.checklist.weights_origin import share_of_reference
from fuxian.verify.entrant_weights import load_weights
from fuxian.verify.source import file_digest, regular_files

MANY = 0.5
"""Share of the weights from which a file holds them."""
LEAST = 16
"""Elements of a tensor that is looked for; smaller ones lie in many files by chance."""
SNIPPET = 48
"""Bytes of a tensor that are looked for."""
TENSORS = 4
"""The largest of each file of weights are looked for."""
SEARCHED = 8
"""Files of weights that are looked for at most: the submitted one, and checkpoints at even distances."""
SUFFIXES = frozenset({".npz", ".npy", ".safetensors", ".pdparams", ".pdopt", ".pt", ".pth", ".bin"})
SMALLEST = 1024
"""Bytes of a file that is looked at."""
LARGEST = 100_000_000


def copies_of_weights(
    folder: Path, weights: Path, checkpoints: Sequence[Path], allowed: Iterable[str] = ()
) -> tuple[str, ...]:
    """Paths in ``folder`` of the files that hold ``weights``, nearly, or a kept checkpoint's, bit for bit.

    ``checkpoints`` are files of weights as well; those whose sha256 is ``allowed`` stay. Raises InputError where the
    weights cannot be read.
    """
    even = checkpoints[:: max(1, -(-len(checkpoints) // (SEARCHED - 1)))]
    tensors = load_weights(weights)
    snippets = {*_snippets(tensors), *(piece for file in even for piece in _snippets(load_weights(file)))}
    # What lies beside a kept checkpoint is no more seen than it is.
    kept = {file.parent for file in checkpoints}
    found = []
    for file in regular_files(folder):
        size = file.stat().st_size
        if file == weights or file.parent in kept or not SMALLEST <= size <= LARGEST:
            continue
        deadline.check()
        if (_holds(file, snippets) or _near(file, tensors)) and file_digest(file) not in set(allowed):
            found.append(file.relative_to(folder).as_posix())
    return tuple(found)


def _snippets(tensors: dict[str, np.ndarray]) -> Iterator[bytes]:
    told = (
        one for one in tensors.values() if one.dtype.kind == "f" and one.size >= LEAST and np.ptp(one) > 0
    )
    for tensor in islice(sorted(told, key=lambda one: -one.size), TENSORS):
        raw = np.ascontiguousarray(tensor).tobytes()
        middle = len(raw) // 2 // tensor.itemsize * tensor.itemsize
        piece = raw[middle : middle + SNIPPET]
        if len(set(piece)) > SNIPPET // 4:
            yield piece


def _holds(file: Path, snippets: set[bytes]) -> bool:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(piece) >= 0 for piece in snippets)


def _near(file: Path, tensors: dict[str, np.ndarray]) -> bool:
    """Packed, or moved by a little."""
    if file.suffix.lower() not in SUFFIXES:
        return False
    try:
        return share_of_reference(tensors, load_weights(file)) >= MANY
    except InputError:
        return False
