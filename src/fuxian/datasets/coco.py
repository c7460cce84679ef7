"""COCO's annotations (Lin et al., 2014): instances_*.json with boxes, crowds and categories.

Of a data set NAME in the data folder, ``<root>/NAME/``: ``annotations/instances_PART.json``, or the file beside it, and
the pictures as the folder ``PART`` or ``PART.zip``, as https://cocodataset.org/#download offers them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.datasets.detection import AnnotatedImage, DetectionSet, packed_pictures
from fuxian.datasets.root import find_root
from fuxian.errors import InputError


def load(name: str = "coco", part: str = "val2017", root: Path | None = None) -> DetectionSet:
    """A part of a data set in COCO's layout; pictures are read when they are asked for.

    Raises InputError where a file is absent or is not in COCO's form.
    """
    folder = (find_root() if root is None else root) / name
    file = f"instances_{part}.json"
    places = (folder / "annotations" / file, folder / file)
    annotations = next((place for place in places if place.is_file()), None)
    if annotations is None:
        raise InputError(
            f"{places[0]} is not there; download it from https://cocodataset.org/#download and put it there."
        )
    pictures = folder / part
    if pictures.is_dir():
        return read(annotations, pictures)
    return read(annotations, folder / f"{part}.zip")


def read(annotations: Path, pictures: Path) -> DetectionSet:
    """The set of an annotation file, and of a folder or an archive of pictures."""
    try:
        document = json.loads(annotations.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{annotations} cannot be read ({error}); download it again.") from error
    categories, images = parsed(document, str(annotations))
    files: Any = pictures if pictures.is_dir() else packed_pictures(pictures)
    return DetectionSet(tuple(categories.values()), tuple(categories), images, files)


def parsed(document: Any, place: str) -> tuple[dict[int, str], tuple[AnnotatedImage, ...]]:
    """Categories by number and pictures, both in the order of their numbers. ``place`` is named in errors.

    Raises InputError for what is not in COCO's form: numbers that are unknown or stand twice, boxes that are no four
    finite numbers or have a negative side.
    """
    try:
        categories = {one["id"]: one["name"] for one in document["categories"]}
        names = {one["id"]: one["file_name"] for one in document["images"]}
        rows = defaultdict(list)
        for one in document["annotations"]:
            rows[one["image_id"]].append(one)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{place}: {error} is missing or of another kind; give COCO's instances_*.json."
        ) from error
    for what, found, wanted in (("category", categories, "categories"), ("picture", names, "images")):
        if len(found) != len(document[wanted]):
            raise InputError(f"{place}: the number of a {what} stands twice; give each its own.")
        if not all(type(key) is int and isinstance(value, str) for key, value in found.items()):
            raise InputError(f"{place}: a {what} has no whole number or no name; give both.")
    if unknown := rows.keys() - names.keys():
        raise InputError(
            f"{place}: there are objects of picture {min(map(repr, unknown))}, which is not listed."
        )
    categories = dict(sorted(categories.items()))
    kinds = {number: kind for kind, number in enumerate(categories)}
    return categories, tuple(
        _image(number, name, rows.get(number, []), kinds, place) for number, name in sorted(names.items())
    )


def _image(number: int, name: str, rows: list[dict], kinds: dict[int, int], place: str) -> AnnotatedImage:
    if name != Path(name).name or name in (".", "..") or "\\" in name or not name.isprintable():
        raise InputError(f"{place}: the picture's name {name[:80]!r} is no plain file name; correct it.")
    try:
        boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(len(rows), 4)
        classes = np.array([kinds[row["category_id"]] for row in rows], np.int64)
        crowd = np.array([bool(row.get("iscrowd", 0)) for row in rows], bool)
        areas = np.array([row.get("area", box[2] * box[3]) for row, box in zip(rows, boxes, strict=True)])
        areas = areas.astype(np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{place}: an object of picture {number} is not in COCO's form ({error})."
        ) from error
    if not (np.isfinite(boxes).all() and np.isfinite(areas).all()) or (boxes[:, 2:] < 0).any():
        raise InputError(f"{place}: a box of picture {number} is no [x, y, width, height]; correct it.")
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return AnnotatedImage(name, corners, classes, crowd, areas, number)
