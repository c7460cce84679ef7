"""Pictures with boxes, as every reader of a detection data set gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fuxian.datasets import archive
from fuxian.errors import InputError

MOST_PACKED = 2_000_000_000
"""Bytes of pictures in an archive, which are kept in memory; larger sets are to be unpacked."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One picture's G objects. Boxes are corners [x1, y1, x2, y2] in pixels and may have no area."""

    name: str
    """The picture's file, by its last part."""
    boxes: np.ndarray
    """float64 [G, 4]"""
    classes: np.ndarray
    """int64 [G], counted from 0 in the order of the set's ``classes``"""
    crowd: np.ndarray
    """bool [G]: COCO's iscrowd, a box over many objects that are not told apart"""
    areas: np.ndarray
    """float64 [G]: pixels of the object, COCO's area; those of the box where the format has none"""
    id: int
    """COCO's number of the picture; its place where the format has none"""


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Annotated pictures with the classes' names and COCO's numbers of these."""

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[AnnotatedImage, ...]
    pictures: Mapping[str, bytes] | Path
    """The files by name, as an archive has them, or their folder."""

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, index: int) -> np.ndarray:
        """uint8 [H, W, 3] RGB, turned as its EXIF data say. Raises InputError where it is absent or damaged."""
        name = self.images[index].name
        try:
            content = (
                (self.pictures / name).read_bytes()
                if isinstance(self.pictures, Path)
                else self.pictures[name]
            )
        except (OSError, KeyError) as error:
            raise InputError(f"the picture {name} is annotated and not there; download it again.") from error
        return decode(content, name)


def decode(content: bytes, place: str) -> np.ndarray:
    """uint8 [H, W, 3] RGB of a JPEG's or PNG's bytes."""
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(f"{place} is no whole picture; download it again.")
    return np.ascontiguousarray(picture[..., ::-1])


def packed_pictures(path: Path) -> dict[str, bytes]:
    """The files of an archive by the last part of their names. Raises InputError for more than 2 GB of them."""
    with archive.opened(path) as zipped:
        members = archive.safe_members(zipped)
        if sum(member.file_size for member in members) > MOST_PACKED:
            raise InputError(f"{path} holds more than 2 GB of pictures; unpack it beside the archive.")
        return {
            member.filename.rsplit("/", 1)[-1]: b"".join(archive.chunks(zipped, member)) for member in members
        }
