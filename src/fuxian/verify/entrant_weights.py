"""Reads weights that an entrant handed in: in a child process, within limits of time and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fuxian.untrusted import Arrays, parsed
from fuxian.weights import read
from fuxian.weights.storage import Stored

SECONDS = 300.0
MEMORY = 512 << 20
"""Bytes beyond so many times the file's size."""
COPIES = 3
LARGEST = 8 << 30


def load_weights(file: Path) -> dict[str, np.ndarray]:
    """The tensors by name. Raises InputError for a file that cannot be read, or not within the limits."""
    return read_weights(file).tensors


def read_weights(file: Path) -> Stored:
    """As ``weights.read``, with what the file says beside the tensors. Raises InputError as ``load_weights`` does."""
    size = file.stat().st_size if file.is_file() else 0
    memory = MEMORY + COPIES * min(size, LARGEST)
    answer = parsed(_read, file, what=file.name, seconds=SECONDS, memory=memory)
    return Stored(answer.arrays, **answer.document)


def _read(file: Path) -> Arrays:
    found = read(file)
    return Arrays(found.tensors, {"notes": found.notes, "metadata": found.metadata})
