"""Portraits with masks of the person: EG1800 (Shen et al., 2016), Supervise-Portrait, and crops of Clothing Co-Parsing.

EG1800: ``<root>/eg1800/`` with ``Images/``, ``Labels/`` (PNG, 1 is the person) and PortraitNet's ``eg1800_train.txt``
and ``eg1800_test.txt``. Supervise-Portrait: ``<root>/supervise-portrait/`` with ``supervisely_face_train_easy.txt``
and ``..._test_easy.txt``, whose paths hold ``/img/`` where the masks' hold ``/ann/``. Clothing Co-Parsing:
``<root>/portraits/portraits.zip`` with ``images/NAME.jpg``, ``masks/NAME.png``, ``train.txt``, ``test.txt``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from fuxian.datasets import archive
from fuxian.datasets.lfw import decode
from fuxian.datasets.root import find_root
from fuxian.errors import InputError

Part = Literal["train", "test"]
Name = Literal["eg1800", "supervise-portrait", "portraits"]
SOURCES = {
    "eg1800": "its pictures and PortraitNet's lists: https://github.com/dong-x16/PortraitNet",
    "supervise-portrait": "its pictures and PortraitNet's lists: https://github.com/dong-x16/PortraitNet",
    "portraits": "portraits.zip, cut from https://github.com/bearpaw/clothing-co-parsing",
}
MOST_BYTES = 50_000_000
"""Of one file."""


@dataclass(frozen=True)
class Portraits(Sequence[tuple[np.ndarray, np.ndarray]]):
    """Each a picture, uint8 [H, W, 3] RGB, and its mask, uint8 [H, W], 1 for the person; read when asked for."""

    names: tuple[str, ...]
    read: Callable[[str], tuple[bytes, bytes]]
    """A name's two files."""
    person: Callable[[np.ndarray], np.ndarray]
    """Where the person is, of the mask's grey values."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        picture, mask = self.read(name)
        pixels = decode(picture, name)
        grey = _grey(mask, name)
        if grey.shape != pixels.shape[:2]:
            raise InputError(
                f"{name}: the picture is {pixels.shape[1]} x {pixels.shape[0]} pixels and its mask {grey.shape[1]} x"
                f" {grey.shape[0]}; take both from the same release."
            )
        return pixels, self.person(grey).astype(np.uint8)


def load(name: Name, part: Part, root: Path | None = None) -> Portraits:
    """The training or the test part of a data set. Raises InputError where a file is absent, unsafe or damaged."""
    folder = (find_root() if root is None else root) / name
    if name == "portraits":
        return _zipped(folder / "portraits.zip", part)
    if name == "eg1800":
        names = _listed(folder / f"eg1800_{part}.txt", name)

        def read(line: str) -> tuple[bytes, bytes]:
            label = PurePosixPath(line).with_suffix(".png")
            return _file(folder / "Images" / line, name), _file(folder / "Labels" / label, name)

        return Portraits(names, read, lambda grey: grey == 1)
    names = _listed(folder / f"supervisely_face_{part}_easy.txt", name)

    def read_supervisely(line: str) -> tuple[bytes, bytes]:
        return _file(folder / line, name), _file(folder / line.replace("/img/", "/ann/"), name)

    return Portraits(names, read_supervisely, lambda grey: grey > 0)


def _zipped(path: Path, part: Part) -> Portraits:
    if not path.is_file():
        raise InputError(f"{path} is not there; put there {SOURCES['portraits']}.")
    with archive.opened(path) as zipped:
        members = {member.filename: member for member in archive.safe_members(zipped)}
        if f"{part}.txt" not in members:
            raise InputError(f"{path} holds no {part}.txt; take the whole archive.")
        names = b"".join(archive.chunks(zipped, members[f"{part}.txt"])).decode("ascii", "replace").split()
        if not names:
            raise InputError(f"{path}: {part}.txt names no picture; take the whole archive.")
        held = {}
        for name in names:
            pair = f"images/{name}.jpg", f"masks/{name}.png"
            if missing := [one for one in pair if one not in members]:
                raise InputError(
                    f"{path} holds no {missing[0]}, which {part}.txt names; take the whole archive."
                )
            picture, mask = (b"".join(archive.chunks(zipped, members[one])) for one in pair)
            held[name] = picture, mask
    return Portraits(tuple(names), held.__getitem__, lambda grey: grey > 127)


def _listed(path: Path, name: Name) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); put there {SOURCES[name]}.") from error
    for line in lines:
        if PurePosixPath(line).is_absolute() or ".." in PurePosixPath(line).parts or not line.isprintable():
            raise InputError(
                f"{path} names {line[:80]!r}, which leads out of its folder; take the official list."
            )
    if not lines:
        raise InputError(f"{path} names no picture; take the official list.")
    return tuple(lines)


def _file(path: Path, name: Name) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); put there {SOURCES[name]}.") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is larger than {MOST_BYTES // 1_000_000} MB; take the official picture.")
    return content


def _grey(data: bytes, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: its mask is no whole PNG or JPEG ({error}); give another.") from error
