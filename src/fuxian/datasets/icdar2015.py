"""ICDAR 2015, challenge 4 (incidental scene text): pictures of 1280 x 720 and quadrilaterals of words.

The archives are those of https://rrc.cvc.uab.es/?ch=4&com=downloads (task 4.1), under their official names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from fuxian.datasets import archive
from fuxian.datasets.catalogue import CATALOGUE
from fuxian.datasets.root import find_root
from fuxian.datasets.scene_text import Word, quadrilaterals
from fuxian.errors import InputError

Part = Literal["train", "test"]
ARCHIVES: dict[Part, tuple[str, str]] = {
    "train": ("ch4_training_images.zip", "ch4_training_localization_transcription_gt.zip"),
    "test": ("ch4_test_images.zip", "Challenge4_Test_Task1_GT.zip"),
}
_NAME = re.compile(r"(?:gt_)?img_([0-9]{1,4})\.(?:jpg|txt)")


@dataclass(frozen=True)
class Icdar2015:
    """One part of the data set, in the order of its numbers. ``numbers`` are those in ``img_<number>.jpg``."""

    images: Path
    numbers: tuple[int, ...]
    members: tuple[str, ...]
    words: tuple[tuple[Word, ...], ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def picture(self, index: int) -> np.ndarray:
        """uint8 [H, W, 3] RGB. Raises InputError where the archive's picture is damaged."""
        with archive.opened(self.images) as zipped:
            content = b"".join(archive.chunks(zipped, zipped.getinfo(self.members[index])))
        return decode(content, f"{self.images}, {self.members[index]}")


def decode(content: bytes, place: str) -> np.ndarray:
    """uint8 [H, W, 3] RGB from a JPEG's or PNG's bytes, turned as its EXIF data say."""
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(f"{place} is no whole picture; download it again.")
    return np.ascontiguousarray(picture[..., ::-1])


def load(part: Part = "test", root: Path | None = None) -> Icdar2015:
    """The pictures' names and their words; the pictures are read one by one when they are asked for.

    Args:
        part: "train" has 1,000 pictures, "test" 500.
        root: the folder of data sets, ``find_root()`` if absent; the archives lie in ``<root>/icdar2015/``.

    Raises:
        InputError: an archive is absent, damaged, or a picture has no words' file.
    """
    folder = (find_root() if root is None else root) / "icdar2015"
    images, truth = (folder / name for name in ARCHIVES[part])
    for file in (images, truth):
        if not file.is_file():
            raise InputError(
                f"{file} is not there; register at {CATALOGUE['icdar2015'].homepage}, download it and put it there."
            )
    words: dict[int, tuple[Word, ...]] = {}
    with archive.opened(truth) as zipped:
        for member in archive.safe_members(zipped):
            content = b"".join(archive.chunks(zipped, member))
            words[_number(member.filename, truth)] = tuple(
                quadrilaterals(content, f"{truth}, {member.filename}")
            )
    with archive.opened(images) as zipped:
        members = {
            _number(member.filename, images): member.filename for member in archive.safe_members(zipped)
        }
    if lacking := sorted(members.keys() ^ words.keys()):
        raise InputError(
            f"{folder}: picture and words of img_{lacking[0]} are not both there; download them again."
        )
    numbers = tuple(sorted(members))
    return Icdar2015(images, numbers, tuple(members[n] for n in numbers), tuple(words[n] for n in numbers))


def _number(name: str, place: Path) -> int:
    found = _NAME.fullmatch(name.rsplit("/", 1)[-1])
    if found is None:
        raise InputError(
            f"{place} holds {name!r:.80}, which is not named like ICDAR 2015; download it again."
        )
    return int(found[1])
