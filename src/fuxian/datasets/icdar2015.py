"""ICDAR 2015, challenge 4 (incidental scene text): pictures of 1280 x 720 and quadrilaterals of words.

The archives are those of https://rrc.cvc.uab.es/?ch=4&com=downloads (task 4.1), under their official names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fuxian.datasets import archive
from fuxian.datasets.catalogue import CATALOGUE
from fuxian.datasets.detection import decode
from fuxian.datasets.root import find_root
from fuxian.datasets.scene_text import Word, quadrilaterals
from fuxian.errors import InputError

Part = Literal["train", "test"]
ARCHIVES: dict[Part, tuple[str, str]] = {
    "train": ("ch4_training_images.zip", "ch4_training_localization_transcription_gt.zip"),
    "test": ("ch4_test_images.zip", "Challenge4_Test_Task1_GT.zip"),
}
_NAME = re.compile(r"(?:gt_)?img_([0-9]{1,4})\.(?:jpg|txt)")


@dataclass(frozen=True, eq=False)
class Icdar2015:
    """One part of the data set, in the order of its numbers. ``numbers`` are those in ``img_<number>.jpg``."""

    numbers: tuple[int, ...]
    words: tuple[tuple[Word, ...], ...]
    jpegs: tuple[bytes, ...]
    """As they stand in the archive: decoded, they would take 2.8 MB each."""

    def __len__(self) -> int:
        return len(self.numbers)

    def picture(self, index: int) -> np.ndarray:
        """uint8 [H, W, 3] RGB. Raises InputError where it is damaged."""
        return decode(self.jpegs[index], f"img_{self.numbers[index]} of ICDAR 2015")


def load(part: Part = "test", root: Path | None = None) -> Icdar2015:
    """The pictures, which are decoded when they are asked for, and their words.

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
        jpegs = {
            _number(member.filename, images): b"".join(archive.chunks(zipped, member))
            for member in archive.safe_members(zipped)
        }
    if lacking := sorted(jpegs.keys() ^ words.keys()):
        raise InputError(
            f"{folder}: picture and words of img_{lacking[0]} are not both there; download them again."
        )
    numbers = tuple(sorted(jpegs))
    return Icdar2015(numbers, tuple(words[n] for n in numbers), tuple(jpegs[n] for n in numbers))


def _number(name: str, place: Path) -> int:
    found = _NAME.fullmatch(name.rsplit("/", 1)[-1])
    if found is None:
        raise InputError(
            f"{place} holds {name!r:.80}, which is not named like ICDAR 2015; download it again."
        )
    return int(found[1])
