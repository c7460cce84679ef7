"""Reads weights that an entrant handed in: in a child process, within limits of time and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fuxian.untrusted import Arrays, parsed
from fuxian.weights import read

SECONDS = 300.0
MEMORY = 512 << 20
"""Bytes beyond so many times the file's size."""
COPIES = 3


def load_weights(file: Path) -> dict[str, np.ndarray]:
    """The tensors by name. Raises InputError for a file that cannot be read, or not within the limits."""
    size = file.stat().st_size
    return parsed(_read, file, what=file.name, seconds=SECONDS, memory=MEMORY + COPIES * size).arrays


def _read(file: Path) -> Arrays:
    return Arrays(read(file).tensors)
