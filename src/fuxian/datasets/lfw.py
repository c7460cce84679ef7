"""Labeled Faces in the Wild (Huang et al., 2007): pictures of people, and the pairs of its verification test.

``<root>/lfw/lfw.zip`` (or the unpacked folder ``lfw``) holds ``<person>/<person>_0001.jpg``, and
``<root>/lfw/pairs.txt`` the official view 2: ten folds of as many matched as mismatched pairs, no person in two folds.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fuxian.datasets import archive
from fuxian.datasets.root import find_root
from fuxian.errors import InputError
from fuxian.printable import why_no_picture

MOST_PIXELS = 4096 * 4096
_PICTURE = re.compile(r"(?:^|/)(?P<person>[^/]+)/(?P=person)_(?P<number>\d{4})\.(?:jpg|png)$")
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]+")

Face = tuple[str, int]
"""A person's name and the number of the picture, counted from 1."""


@dataclass(frozen=True)
class Pair:
    """Two pictures, and whether they show the same person. ``fold`` counts from 0."""

    first: Face
    second: Face
    same: bool
    fold: int


@dataclass(frozen=True)
class Lfw:
    """``images``: uint8 [N, side, side, 3], RGB; ``faces``: whose picture each is, sorted; ``pairs``: of view 2."""

    images: np.ndarray
    faces: list[Face]
    pairs: list[Pair]

    def indices(self) -> np.ndarray:
        """int64 [pairs, 2]: where each pair's two pictures are in ``images``."""
        place = {face: index for index, face in enumerate(self.faces)}
        return np.array([[place[pair.first], place[pair.second]] for pair in self.pairs], np.int64)


def load(root: Path | None = None, *, side: int | None = None) -> Lfw:
    """Reads LFW from ``<root>/lfw``.

    Args:
        root: the folder of data sets; ``find_root()`` if absent.
        side: pictures are resized to this many pixels (area average); as they are if absent.

    Raises:
        InputError: a file is absent or damaged, pictures differ in size, or a pair names a picture that is not there.
    """
    folder = (find_root() if root is None else root) / "lfw"
    zipped, unpacked = folder / "lfw.zip", folder / "lfw"
    if not zipped.is_file() and not unpacked.is_dir():
        raise InputError(
            f"{zipped} is not there; put LFW's pictures there (lfw/PERSON/PERSON_0001.jpg in a zip archive, or the"
            f" unpacked folder {unpacked}) and its pairs.txt beside them: http://vis-www.cs.umass.edu/lfw/."
        )
    pairs = read_pairs(folder / "pairs.txt")
    named: dict[Face, np.ndarray] = {}
    for name, data in _from_zip(zipped) if zipped.is_file() else _from_folder(unpacked):
        if found := _PICTURE.search(name):
            named[found["person"], int(found["number"])] = decode(data, name, side)
    faces = sorted(named)
    sizes = {picture.shape for picture in named.values()}
    if len(sizes) != 1:
        raise InputError(
            f"{folder} holds pictures of {len(sizes)} sizes; resize them to one, or give a side."
        )
    for pair in pairs:
        for face in (pair.first, pair.second):
            if face not in named:
                raise InputError(
                    f"{folder / 'pairs.txt'} names picture {face[1]} of {face[0]}, which is not among the pictures;"
                    " take pictures and pairs from the same release."
                )
    return Lfw(np.stack([named[face] for face in faces]), faces, pairs)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file in LFW's format.

    The first line has the number of folds and the pairs of each kind in one (a single number means one fold, as in
    view 1). Then follow, fold by fold, the matched (``person i j``) and the mismatched (``person i other j``).

    Raises InputError, with the line, where the file is absent or something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); put LFW's pairs.txt there.") from error
    head = lines[0].split() if lines else []
    if not 1 <= len(head) <= 2 or not all(re.fullmatch(r"\d{1,6}", word) for word in head):
        raise InputError(
            f"{path}, line 1: give the number of folds and the pairs of each kind in one, as in '10 300'."
        )
    folds, each = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
    rows = [(number, line.split("\t")) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if not folds or not each or len(rows) != folds * each * 2:
        raise InputError(
            f"{path}: line 1 promises {folds} x 2 x {each} pairs and {len(rows)} lines follow; take the whole file."
        )
    return [_pair(path, number, row, place, each) for place, (number, row) in enumerate(rows)]


def _pair(path: Path, number: int, row: list[str], place: int, each: int) -> Pair:
    fold, within = divmod(place, 2 * each)
    same = within < each
    words = [row[0], row[1], row[0], row[2]] if same and len(row) == 3 else row
    fits = len(words) == 4 and len(row) == (3 if same else 4)
    if not fits or not all(_NAME.fullmatch(w) for w in words[::2]) or not all(map(_number, words[1::2])):
        form = "person<TAB>i<TAB>j" if same else "person<TAB>i<TAB>other<TAB>j"
        raise InputError(f"{path}, line {number}: {form} was expected; take the whole official file.")
    return Pair((words[0], int(words[1])), (words[2], int(words[3])), same, fold)


def _number(word: str) -> bool:
    return re.fullmatch(r"[1-9]\d{0,5}", word) is not None


def decode(data: bytes, name: str, side: int | None = None) -> np.ndarray:
    """One JPEG or PNG as uint8 [side, side, 3], RGB; ``name`` is for the message.

    Raises InputError where it is no whole picture or has more than 16.8 million pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(f"{name} has {image.width} x {image.height} pixels; give a smaller picture.")
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{name} is not a whole JPEG or PNG picture ({why_no_picture(error)}); give another."
        ) from error
    if side is not None and picture.size != (side, side):
        # Downwards, a box filter is the plain mean of the pixels that fall together.
        smaller = side <= min(picture.size)
        picture = picture.resize((side, side), Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _from_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with archive.opened(path) as zipped:
        for member in archive.safe_members(zipped):
            yield member.filename, b"".join(archive.chunks(zipped, member))


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.glob("*/*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(folder).as_posix(), file.read_bytes()


def by_person(faces: list[Face]) -> dict[str, list[int]]:
    """Each person's places in ``faces``, in its order."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, (person, _) in enumerate(faces):
        places[person].append(index)
    return dict(places)
