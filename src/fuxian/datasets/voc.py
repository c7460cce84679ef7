"""Pascal VOC's annotations (Everingham et al., 2010): one XML file for each picture.

Corners are taken as they stand: tools differ by a pixel in what they mean by them. Objects marked difficult count as
all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

import numpy as np

from fuxian.datasets.detection import AnnotatedImage
from fuxian.errors import InputError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
MOST_BYTES = 10_000_000


def parsed(content: bytes, place: str, classes: Sequence[str], number: int) -> AnnotatedImage:
    """The objects of an XML file. ``place`` is named in errors, ``number`` becomes the picture's.

    Raises InputError where it is no annotation, names another class, or a box is no four finite numbers in order.
    """
    # Entities, which an annotation never needs, can make a small file large.
    if len(content) > MOST_BYTES or b"\0" in content or b"<!" in content.replace(b"<!--", b""):
        raise InputError(f"{place} is too large, not UTF-8, or declares entities; give a plain annotation.")
    try:
        root = Xml.fromstring(content)  # noqa: S314 - it declares no entities
    except (Xml.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{place} is no XML ({error}); download it again.") from error
    boxes, kinds = [], []
    for one in root.iter("object"):
        name = (one.findtext("name") or "").strip()
        if name not in classes:
            raise InputError(f"{place}: the class {name[:40]!r} is none of {', '.join(classes)}; correct it.")
        try:
            box = [float(one.findtext(f"bndbox/{corner}") or "") for corner in CORNERS]
        except ValueError as error:
            raise InputError(f"{place}: an object has no whole bndbox; give it four corners.") from error
        if not np.isfinite(box).all() or box[2] < box[0] or box[3] < box[1]:
            raise InputError(f"{place}: the box {box} does not go from a low to a high corner; correct it.")
        boxes.append(box)
        kinds.append(classes.index(name))
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    file = root.findtext("filename") or ""
    return AnnotatedImage(
        file.replace("\\", "/").rsplit("/", 1)[-1].strip(),
        corners,
        np.array(kinds, np.int64),
        np.zeros(len(kinds), bool),
        (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]),
        number,
    )
