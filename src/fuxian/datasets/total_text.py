"""Total-Text: polygons of any number of corners, from the official MATLAB files or their text form.

The ground truth of https://github.com/cs-chan/Total-Text-Dataset: ``poly_gt_img<number>.mat`` with a cell array
``polygt`` of rows (x:, [x...], y:, [y...], text, orientation), or lines
``x: [[1 2 3]], y: [[4 5 6]], ornt: [u'c'], transcriptions: [u'word']``. The text ``#`` is to be ignored.
"""

from __future__ import annotations

import io
import re
import zlib
from typing import Any

import numpy as np
import scipy.io

from fuxian.datasets.scene_text import LARGEST, UNREADABLE, Word, decoded
from fuxian.errors import InputError

_LINE = re.compile(
    r"x: \[\[([-\d. ]+)\]\], y: \[\[([-\d. ]+)\]\], ornt: \[.*?\], transcriptions: \[u?(?:'(.*)'|\"(.*)\")\]"
)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")
MOST_BYTES = 10_000_000
"""Of one picture's file."""


def read_mat(content: bytes, place: str) -> list[Word]:
    """The words of one ``.mat`` file; ``place`` is how errors name it.

    MATLAB 5 files hold arrays and no code, and are read as such. Raises InputError for another content.
    """
    if len(content) > MOST_BYTES:
        raise InputError(
            f"{place} has more than {MOST_BYTES // 1_000_000} MB; this is no ground truth of one picture."
        )
    try:
        rows = scipy.io.loadmat(io.BytesIO(content), variable_names=["polygt"])["polygt"]
        return [_word(_numbers(row[1]), _numbers(row[3]), _text(row[4]), place) for row in rows]
    except InputError:
        raise
    except (
        scipy.io.matlab.MatReadError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OSError,
        NotImplementedError,
        zlib.error,
        MemoryError,
    ) as error:
        raise InputError(
            f"{place} is no file of Total-Text's polygons ({error}); download it again."
        ) from error


def read_text(content: bytes, place: str) -> list[Word]:
    """The words of one text file. Raises InputError for lines of another form."""
    words = []
    # A long polygon is wrapped: its line goes on where the next does not begin with "x:".
    lines: list[tuple[int, str]] = []
    for number, line in decoded(content, place):
        if lines and not line.startswith("x:"):
            lines[-1] = lines[-1][0], f"{lines[-1][1]} {line.strip()}"
        else:
            lines.append((number, line.strip()))
    for number, line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise InputError(f"{place}, line {number}: this is not Total-Text's form; mend that line.")
        x, y = (np.array(_NUMBER.findall(part), np.float64) for part in found.group(1, 2))
        words.append(_word(x, y, found[3] if found[3] is not None else found[4], f"{place}, line {number}"))
    return words


def _numbers(cell: Any) -> np.ndarray:
    return np.asarray(cell, np.float64).reshape(-1)


def _text(cell: Any) -> str:
    return str(cell[0]) if len(cell) else ""


def _word(x: np.ndarray, y: np.ndarray, text: str, place: str) -> Word:
    polygon = np.stack([x, y], 1) if x.shape == y.shape else np.zeros((0, 2))
    if len(polygon) < 3 or not (np.abs(polygon) <= LARGEST).all():
        raise InputError(f"{place}: a polygon has fewer than three corners or no numbers of pixels; mend it.")
    return Word(polygon, UNREADABLE if text == "#" else text)
