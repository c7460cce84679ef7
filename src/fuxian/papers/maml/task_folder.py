"""One task from a folder of the user's own: support examples, and the query examples to predict.

Everything here may come from a stranger, and is read as ``papers/user_files.py`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fuxian.datasets.omniglot import SIDE
from fuxian.errors import InputError
from fuxian.papers.user_files import listed, read_picture, read_rows

MAX_PICTURES = 1000
"""Batch normalisation takes all pictures together, so they must fit into memory together."""

ORIGINAL_SIDE = 105
"""Omniglot's drawings are 105 x 105 pixels of one bit."""
MIN_CONTRAST = 16
"""Of 255 grey levels. What shows less than this is an empty sheet's noise."""


@dataclass(frozen=True)
class Task:
    """A task to adapt to, and what to predict.

    Pictures are float32 [B, 28, 28] with ink 1 on 0, numbers float32 [B, 1].

    ``labels``: the classes' names in the order of the network's outputs; empty for a regression.
    ``support_x``, ``support_y``: the support examples and their targets: one-hot [B, N], or numbers [B, 1].
    ``query_files``: the names of the query pictures; empty for a regression.
    ``query_x``: the query examples, B = 0 where the folder has none.
    """

    labels: list[str]
    support_x: np.ndarray
    support_y: np.ndarray
    query_files: list[str]
    query_x: np.ndarray


def read_pictures(folder: Path, ways: int) -> Task:
    """The classification task of ``folder/support/LABEL/PICTURE`` and ``folder/query/PICTURE``.

    The ``ways`` labels are sorted by name. Hidden files are passed over. Raises InputError for any other number
    of labels, a label without pictures, a file that is no picture, and a picture as ``prepare`` does.
    """
    support = folder / "support"
    labels = listed(support)
    for entry in labels:
        if not entry.is_dir():
            raise InputError(
                f"{entry} is no folder; put each support picture into a folder named by its label."
            )
    if len(labels) != ways:
        raise InputError(
            f"{support} holds {len(labels)} labels where the network tells {ways} apart; make {ways} folders"
            " of pictures there, each named by its label."
        )
    pictures, targets = [], []
    for number, label in enumerate(labels):
        files = listed(label)
        if not files:
            raise InputError(f"{label} is empty; put at least one picture of that label there.")
        pictures += files
        targets += [number] * len(files)
    query = listed(folder / "query") if (folder / "query").exists() else []
    return Task(
        labels=[label.name for label in labels],
        support_x=_read_all(pictures, support),
        support_y=np.eye(ways, dtype=np.float32)[targets],
        query_files=[file.name for file in query],
        query_x=_read_all(query, folder / "query"),
    )


def read_numbers(folder: Path) -> Task:
    """The regression task of ``folder/support.csv`` (columns x,y) and ``folder/query.csv`` (column x).

    Raises InputError for other columns, and for a field that is no finite number.
    """
    support = _read_columns(folder / "support.csv", ["x", "y"])
    if not len(support):
        raise InputError(
            f"{folder / 'support.csv'} holds no example; put at least one line under its header."
        )
    query = folder / "query.csv"
    return Task(
        labels=[],
        support_x=support[:, :1],
        support_y=support[:, 1:],
        query_files=[],
        query_x=_read_columns(query, ["x"]) if query.exists() else np.zeros((0, 1), np.float32),
    )


def prepare(image: Image.Image, name: str) -> np.ndarray:
    """A picture as the network was trained on, float32 [28, 28] with ink 1 on 0: dark ink on light paper.

    A 105 x 105 picture of one bit per pixel is prepared exactly as the data set's: reduced to 28 x 28 by taking
    the nearest pixel. Any other is first made into such a picture: grey, on white where it is transparent, on a
    square of its lightest grey, averaged to 105 x 105, and black where it is nearer to its darkest than to its
    lightest grey.

    Raises InputError where ``image`` shows nothing, or is more than half dark.
    """
    if image.mode != "1" or image.size != (ORIGINAL_SIDE, ORIGINAL_SIDE):
        image = _black_or_white(image, name)
    ink = ~np.asarray(image.resize((SIDE, SIDE), resample=Image.Resampling.NEAREST))
    if not ink.any():
        raise InputError(f"{name} shows no ink; give dark ink on light paper.")
    if ink.mean() > 0.5:
        raise InputError(
            f"{name} is more than half dark; give dark ink on light paper, so invert the picture."
        )
    return ink.astype(np.float32)


def _black_or_white(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{name} has more than 8 bits per channel; save it with 8.")
    image = ImageOps.exif_transpose(image).convert("RGBA")
    grey = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L")
    square = Image.new("L", (max(grey.size),) * 2, grey.getextrema()[1])
    square.paste(grey, ((square.width - grey.width) // 2, (square.height - grey.height) // 2))
    small = np.asarray(square.resize((ORIGINAL_SIDE, ORIGINAL_SIDE), resample=Image.Resampling.BOX), np.int32)
    darkest, lightest = small.min(), small.max()
    if lightest - darkest < MIN_CONTRAST:
        raise InputError(f"{name} shows no ink; give dark ink on light paper.")
    return Image.fromarray(2 * small >= darkest + lightest)


def _read_all(files: list[Path], folder: Path) -> np.ndarray:
    if len(files) > MAX_PICTURES:
        raise InputError(f"{folder} holds {len(files)} pictures; give at most {MAX_PICTURES} at a time.")
    return (
        np.stack([prepare(read_picture(file), str(file)) for file in files])
        if files
        else np.zeros((0, SIDE, SIDE), np.float32)
    )


def _read_columns(file: Path, columns: list[str]) -> np.ndarray:
    """Float32 [lines, columns]."""
    rows = [
        _numbers(fields, len(columns), f"{file}, line {line}") for line, fields in read_rows(file, columns)
    ]
    return np.array(rows, np.float32).reshape(-1, len(columns))


def _numbers(fields: list[str], count: int, place: str) -> list[float]:
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        numbers = []
    if len(numbers) != count or not (np.abs(numbers) <= np.finfo(np.float32).max).all():
        raise InputError(f"{place}: not {count} finite numbers (float32) between commas; mend that line.")
    return numbers
