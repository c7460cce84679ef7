"""SCUT-CTW1500 (curved text): the 32 numbers of a line are a bounding box and 14 corners relative to it.

The ground truth of https://github.com/Yuliang-Liu/Curve-Text-Detector: ``text_label_curve/<number>.txt``, lines
``xmin,ymin,xmax,ymax,w1,h1,...,w14,h14``. There are no transcriptions and nothing is to be ignored.
"""

from __future__ import annotations

from fuxian.datasets.scene_text import Word, coordinates, decoded
from fuxian.errors import InputError

FIELDS = 32


def read(content: bytes, place: str) -> list[Word]:
    """The text lines of one picture's file, 14 corners each; ``place`` is how errors name it.

    Raises InputError for lines of another form.
    """
    words = []
    for number, line in decoded(content, place):
        fields = line.split(",")
        if len(fields) < FIELDS:
            raise InputError(
                f"{place}, line {number}: {len(fields)} fields and not {FIELDS}; mend that line."
            )
        corners = coordinates(fields[:FIELDS], place, number)
        words.append(Word(corners[2:] + corners[0], "???"))
    return words
