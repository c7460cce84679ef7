"""Reads what a user, or a stranger, gives to ``fuxian predict``: pictures, tables, folders of them.

Only regular files of bounded size are read, pictures only in the formats PNG, JPEG and BMP, and names that cannot be
printed are refused. Whatever cannot be read raises InputError.
"""

from __future__ import annotations

import csv
import io
import struct
from pathlib import Path

from PIL import Image

from fuxian.errors import InputError
from fuxian.printable import why_no_picture

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
FORMATS = ("PNG", "JPEG", "BMP")
MAX_BYTES = 20_000_000
MAX_SIDE = 4096
MAX_ROWS = 100_000


def listed(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without hidden files."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); check the folder.") from error
    for entry in entries:
        if not entry.name.isprintable():
            raise InputError(f"{folder} holds {entry.name!r}, a name that cannot be printed; rename it.")
    return entries


def listed_pictures(path: Path) -> list[Path]:
    """The picture ``path``, or every picture in the folder ``path``, sorted by name."""
    if not path.is_dir():
        _check_ending(path)
        return [path]
    files = listed(path)
    for file in files:
        _check_ending(file)
    if not files:
        raise InputError(f"{path} is empty; put at least one picture there.")
    return files


def read_picture(file: Path) -> Image.Image:
    """A picture in the mode its file has, turned no way; at most ``MAX_SIDE`` pixels wide and high."""
    _check_ending(file)
    content = read_bytes(file)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if max(image.size) > MAX_SIDE:
                size = f"{image.width} x {image.height}"
                raise InputError(f"{file} is {size} pixels; make it at most {MAX_SIDE} wide and high.")
            image.load()
            return image
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise InputError(
            f"{file} cannot be read as a picture ({why_no_picture(error)}); save it again as a PNG."
        ) from error


def read_rows(file: Path, columns: list[str]) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file that begins with the line ``columns``, each with its line number.

    Blank lines are left out. A row may have another number of fields than the header.
    """
    try:
        lines = csv.reader(io.StringIO(read_bytes(file).decode("utf-8-sig"), newline=""), strict=True)
        if [field.strip() for field in next(lines, [])] != columns:
            raise InputError(f"{file} must begin with the line {','.join(columns)}; write it there.")
        rows = []
        for fields in lines:
            if fields:
                rows.append((lines.line_num, fields))
            if len(rows) > MAX_ROWS:
                raise InputError(f"{file} has more than {MAX_ROWS} lines; give fewer at a time.")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} is no CSV text ({error}); write it as UTF-8 with commas.") from error
    return rows


def read_bytes(file: Path) -> bytes:
    """The content of a regular file of at most ``MAX_BYTES``; a pipe or a device could block or never end."""
    if not file.is_file():
        raise InputError(f"{file} is no file; put one there.")
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}); check the file.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{file} is larger than {MAX_BYTES // 1_000_000} MB; make it smaller.")
    return content


def _check_ending(file: Path) -> None:
    if file.suffix.lower() not in ENDINGS:
        raise InputError(f"{file} is no picture by its name; give {', '.join(ENDINGS)}.")
