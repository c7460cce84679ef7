"""Omniglot (Lake et al., 2015) at 28 x 28, as the official MAML code prepares it.

The official preparation (cbfinn/maml, data/omniglot_resized/resize_images.py) opens each 105 x 105 PNG with
Pillow and calls ``resize((28, 28), resample=Image.LANCZOS)``. The PNGs have one bit per pixel, and for such
an image (mode "1") Pillow ignores the filter asked for and always takes the nearest pixel. So the official
pictures hold two values only (Pillow 3.4, of 2016, and today's agree). We do the same, and invert as
data_generator.py does with ``1 - x``, so that ink is bright.
"""

import hashlib
import io
import json
import logging
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fuxian.datasets import archive
from fuxian.datasets.catalogue import CATALOGUE
from fuxian.datasets.root import cache_folder, find_root
from fuxian.errors import InputError
from fuxian.printable import why_no_picture

SIDE = 28
DRAWERS = 20
_ORIGINAL_SIDE = 105
# Part of the cache's key: change it whenever the pictures made from the same archives change.
_PREPARATION = "28x28 nearest, ink 255, version 1"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Omniglot:
    """All characters of Omniglot, background and evaluation alphabets together.

    ``images``: uint8 ``[characters, 20, 28, 28]``, ink 255 on background 0, read-only.
    ``names``: ``"Alphabet/character01"`` per row of ``images``, sorted.
    ``drawers``: ``"01"`` to ``"20"`` per column of ``images``; within one alphabet a drawer is one person.
    """

    images: np.ndarray
    names: list[str]
    drawers: list[str]


def load(root: Path | None = None) -> Omniglot:
    """Reads Omniglot from the two official archives in ``<root>/omniglot/``.

    The first call checks the archives' contents, decodes them, and keeps the result in the user's cache
    folder under a name made from the published contents; later calls read that.

    Args:
        root: the folder of data sets; ``find_root()`` if absent.

    Raises:
        InputError: an archive is absent, damaged, or not the published one.
    """
    dataset = CATALOGUE["omniglot"]
    folder = (find_root() if root is None else root) / dataset.name
    for file in dataset.files:
        if not (folder / file.name).is_file():
            raise InputError(
                f"{folder / file.name} is not there; run `fuxian data get omniglot`, or download {file.url} "
                "and put it there by hand."
            )
    key = hashlib.sha256(
        "\n".join([_PREPARATION, *(f.contents.sha256 for f in dataset.files)]).encode()
    ).hexdigest()
    cache = cache_folder() / "prepared" / f"omniglot-{key[:16]}.safetensors"
    if (cached := _read_cache(cache)) is not None:
        return cached
    for file in dataset.files:
        archive.check(folder / file.name, file.contents)
    data = _decode([folder / file.name for file in dataset.files])
    _write_cache(cache, data)
    return data


def _decode(paths: list[Path]) -> Omniglot:
    """Pictures from archives of ``<archive's name>/Alphabet/character01/0001_01.png``."""
    pictures: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for path in paths:
        with archive.opened(path) as zipped:
            for member in archive.safe_members(zipped):
                try:
                    _, alphabet, character, file = member.filename.split("/")
                    drawer = file.removesuffix(".png").split("_")[1]
                except (ValueError, IndexError):
                    raise InputError(
                        f"{path} holds {member.filename}, which is not named like an Omniglot picture "
                        "(images_background/Alphabet/character01/0001_01.png); download the archive again."
                    ) from None
                pictures[f"{alphabet}/{character}"][drawer] = _picture(
                    b"".join(archive.chunks(zipped, member)), member.filename
                )
    drawers = [f"{d:02d}" for d in range(1, DRAWERS + 1)]
    names = sorted(pictures)
    for name in names:
        if sorted(pictures[name]) != drawers:
            raise InputError(
                f"{paths[0].parent} holds {len(pictures[name])} pictures of {name} where one by each of "
                f"{DRAWERS} drawers was expected; download the archives again."
            )
    images = np.stack([[pictures[name][drawer] for drawer in drawers] for name in names])
    images.flags.writeable = False
    return Omniglot(images=images, names=names, drawers=drawers)


def _picture(png: bytes, name: str) -> np.ndarray:
    """One picture, uint8 [28, 28], ink 255."""
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.mode != "1" or image.size != (_ORIGINAL_SIDE, _ORIGINAL_SIDE):
                raise InputError(
                    f"{name} is a {image.size} picture of mode {image.mode} where 105 x 105 pixels of one "
                    "bit were expected; download the archives again."
                )
            small = image.resize((SIDE, SIDE), resample=Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{name} is not a whole PNG picture ({why_no_picture(error)}); download the archives again."
        ) from error
    return np.where(np.asarray(small), 0, 255).astype(np.uint8)


def _read_cache(path: Path) -> Omniglot | None:
    """The prepared data at ``path``, or None where it is absent or not what was written."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            images = file.get_tensor("images")
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError) as error:
        _log.warning("%s is damaged (%s): it is made again", path, error)
        return None
    if about.get("sha256") != _checksum(images, about.get("names", ""), about.get("drawers", "")):
        _log.warning("%s is damaged (wrong checksum): it is made again", path)
        return None
    images.flags.writeable = False
    return Omniglot(images=images, names=json.loads(about["names"]), drawers=json.loads(about["drawers"]))


def _write_cache(path: Path, data: Omniglot) -> None:
    names, drawers = json.dumps(data.names), json.dumps(data.drawers)
    about = {"names": names, "drawers": drawers, "sha256": _checksum(data.images, names, drawers)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        os.close(handle)
        try:
            save_file({"images": data.images}, temporary, metadata=about)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s cannot be written (%s): Omniglot is decoded anew each time", path, error)


def _checksum(images: np.ndarray, names: str, drawers: str) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    for text in (str(images.dtype), str(images.shape), names, drawers):
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()
