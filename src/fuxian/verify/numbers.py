"""Reads the numbers that a command wrote, which nobody trusts.

All of it is parsed in a child process. Raises Malformed where that takes too long or too much memory.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.untrusted import Arrays, parsed
from fuxian.weights.storage import load_tensors

LARGEST = 1 << 30
LARGEST_TEXT = 64 << 20
MOST_ARRAYS = 100_000
MOST_NUMBERS = 1 << 28
MOST_EXAMPLES = 2_000_000
"""Figures of single test examples that evidence can hold."""
SECONDS = 60.0
MEMORY = 512 << 20
"""Bytes beyond so many times the file's size."""
COPIES, COPIES_OF_TEXT = 3, 16
"""A number that is written in two characters becomes a Python object."""


def read_numbers(file: Path) -> dict[str, np.ndarray]:
    """Arrays by name. A .npy, a JSON list or a CSV without names gives one array, called by the file's stem.

    Read in a child process. Raises InputError where the file is missing, too large, or holds anything but numbers.
    """
    size = file.lstat().st_size if file.is_file() else 0
    copies = COPIES_OF_TEXT if _is_text(file) else COPIES
    memory = MEMORY + copies * min(size, LARGEST)
    return parsed(_read, file, what=file.name, seconds=SECONDS, memory=memory).arrays


def read_json(file: Path) -> Any:
    """A document. Raises InputError where the file is missing, too large, or no JSON."""
    if file.is_symlink() or not file.is_file():
        raise InputError(f"{file.name}: the command did not write it; mend fuxian.toml.")
    size = file.stat().st_size
    if size > LARGEST_TEXT:
        raise InputError(f"{file.name}: {size / 1e6:.0f} MB; write the figures alone.")
    return parsed(_json, file, what=file.name, seconds=SECONDS, memory=MEMORY + COPIES_OF_TEXT * size)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file.name} is not JSON; write it as `fuxian evaluate` does.") from error


def _read(file: Path) -> Arrays:
    arrays = _arrays(file)
    if sum(array.size for array in arrays.values()) > MOST_NUMBERS:
        raise InputError(
            f"{file.name}: it holds more than {MOST_NUMBERS} numbers; write what is compared alone."
        )
    return Arrays(arrays)


def _is_text(file: Path) -> bool:
    return file.suffix.lower() in (".json", ".csv")


def _arrays(file: Path) -> dict[str, np.ndarray]:
    if file.is_symlink() or not file.is_file():
        raise InputError(f"{file.name}: the command did not write it; mend its output in fuxian.toml.")
    if file.stat().st_size > (LARGEST_TEXT if _is_text(file) else LARGEST):
        raise InputError(f"{file.name}: {file.stat().st_size / 1e6:.0f} MB of numbers are too many.")
    try:
        if file.suffix.lower() == ".json":
            return _of_json(file)
        if file.suffix.lower() == ".csv":
            return _of_csv(file)
    except (ValueError, TypeError, RecursionError, OverflowError, csv.Error) as error:
        raise InputError(f"{file.name}: holds something else than numbers; write numbers alone.") from error
    if file.suffix.lower() not in (".npz", ".npy", ".safetensors"):
        raise InputError(
            f"{file.name}: numbers are read from .npz, .npy, .safetensors, .json and .csv; write one of these."
        )
    return load_tensors(file)


def _of_json(file: Path) -> dict[str, np.ndarray]:
    document: Any = json.loads(file.read_text(encoding="utf-8"))
    named = document if isinstance(document, dict) else {file.stem: document}
    if len(named) > MOST_ARRAYS:
        raise ValueError("too many arrays")
    return {str(name): np.asarray(value, dtype=np.float64) for name, value in named.items()}


def _of_csv(file: Path) -> dict[str, np.ndarray]:
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    if not rows:
        raise ValueError("empty")
    try:
        first = [float(cell) for cell in rows[0]]
    except ValueError:
        columns = np.asarray(rows[1:], dtype=np.float64).reshape(len(rows) - 1, len(rows[0]))
        return {name.strip(): columns[:, index] for index, name in enumerate(rows[0])}
    return {file.stem: np.asarray([first, *rows[1:]], dtype=np.float64)}
