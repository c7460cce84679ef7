"""Text in pictures as data sets give it: one polygon and one transcription for each word or line."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fuxian.errors import InputError

UNREADABLE = "###"
"""The transcription of what nobody need find."""
LARGEST = 1_000_000
"""A coordinate beyond this many pixels is a mistake."""
_QUOTED = re.compile(r'\s*"(.*)"\s*')


@dataclass(frozen=True, eq=False)
class Word:
    """``polygon``: float64 [corners, 2], (x, y) in pixels of the picture."""

    polygon: np.ndarray
    text: str

    @property
    def ignored(self) -> bool:
        """Whether ICDAR's evaluation counts it neither as a truth nor, where it is found, as a detection.

        As the official script reads it: what follows the last comma, without quotes around it, is ``###``.
        """
        last = self.text.rsplit(",", 1)[-1]
        quoted = _QUOTED.fullmatch(last)
        return (quoted[1] if quoted else last) == UNREADABLE

    @property
    def trained_on(self) -> bool:
        """Whether the official training reads it as text: it does not begin with ``#``."""
        return not self.text.startswith("#")


def decoded(content: bytes, place: str) -> list[tuple[int, str]]:
    """The lines of a ground-truth file that are not empty, numbered from 1. Raises InputError where it is no UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{place} is no UTF-8 text ({error.reason}); download it again.") from error
    # Not splitlines(): a transcription may hold any of Unicode's line separators.
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.strip("\r\ufeff")) for number, line in lines if line.strip("\r\ufeff ")]


def coordinates(fields: list[str], place: str, number: int) -> np.ndarray:
    """float64 [corners, 2] from x1, y1, x2, y2, ... Raises InputError for anything that is no such number."""
    try:
        values = np.array([float(field) for field in fields])
    except ValueError:
        values = np.array([np.nan])
    if not (np.abs(values) <= LARGEST).all():
        raise InputError(f"{place}, line {number}: the coordinates are no numbers of pixels; mend that line.")
    return values.reshape(-1, 2)


def quadrilaterals(content: bytes, place: str, *, before_text: int = 8) -> list[Word]:
    """Words from lines of ``x1,y1,x2,y2,x3,y3,x4,y4,...,text`` with ``before_text`` fields before the text."""
    words = []
    for number, line in decoded(content, place):
        fields = line.split(",", before_text)
        if len(fields) <= before_text:
            raise InputError(
                f"{place}, line {number}: {len(fields)} fields and not {before_text + 1} or more; mend that line."
            )
        words.append(Word(coordinates(fields[:8], place, number), fields[before_text]))
    return words
