"""BCCD: 364 microscope pictures of blood, 640 x 480, with boxes of red cells, white cells and platelets.

https://github.com/Shenggan/BCCD_Dataset (MIT): ``<root>/bccd/BCCD.zip`` holds its folder ``BCCD`` in Pascal VOC's
layout, with the official lists of 205 training, 87 validation and 72 test pictures.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from fuxian.datasets import archive, voc
from fuxian.datasets.detection import DetectionSet
from fuxian.datasets.root import find_root
from fuxian.errors import InputError

Part = Literal["train", "val", "test"]
CLASSES = ("RBC", "WBC", "Platelets")
HOMEPAGE = "https://github.com/Shenggan/BCCD_Dataset"


def load(part: Part, root: Path | None = None) -> DetectionSet:
    """A part by the official list, in its order.

    Raises InputError where the archive is absent or damaged, or a listed picture is not in it.
    """
    file = (find_root() if root is None else root) / "bccd" / "BCCD.zip"
    if not file.is_file():
        raise InputError(f"{file} is not there; pack the folder BCCD of {HOMEPAGE} as this archive.")
    contents = _contents(file, file.stat().st_mtime_ns)
    listed = contents.get(f"ImageSets/Main/{part}.txt")
    if listed is None:
        raise InputError(f"{file} has no ImageSets/Main/{part}.txt; pack the whole folder BCCD.")
    images, pictures = [], {}
    for number, name in enumerate(listed.decode("utf-8", "replace").split()):
        annotation, picture = f"Annotations/{name}.xml", f"JPEGImages/{name}.jpg"
        if annotation not in contents or picture not in contents:
            raise InputError(f"{file}: {name[:80]!r} is listed and not whole; pack the whole folder BCCD.")
        image = voc.parsed(contents[annotation], f"{file}, {annotation}", CLASSES, number)
        images.append(replace(image, name=f"{name}.jpg"))
        pictures[f"{name}.jpg"] = contents[picture]
    return DetectionSet(CLASSES, tuple(range(1, len(CLASSES) + 1)), tuple(images), pictures)


@lru_cache(maxsize=1)
def _contents(file: Path, modified: int) -> dict[str, bytes]:
    """The archive's files by their path below BCCD/; ``modified`` tells versions of it apart."""
    with archive.opened(file) as zipped:
        return {
            member.filename.removeprefix("BCCD/"): b"".join(archive.chunks(zipped, member))
            for member in archive.safe_members(zipped)
        }
