"""insightface's file formats: verification sets (``lfw.bin``), training records (``train.rec``), folders of pictures.

A ``.bin`` is a pickle of two lists, encoded pictures and whether each two of them show one person. It is read by a
machine that knows lists, bytes and arrays of numbers alone: nothing in it is executed. ``train.rec`` is MXNet's
RecordIO, with ``train.idx`` beside it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.datasets.lfw import decode
from fuxian.errors import InputError
from fuxian.weights.inert_pickle import Budget, Damaged, PendingArray, Refused, numpy_builders, read_pickle

LARGEST_BIN = 2_000_000_000
_MAGIC = 0xCED7230A
_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class VerificationSet:
    """``pictures``: encoded, two for each pair; ``same`` [pairs] bool."""

    pictures: list[bytes]
    same: np.ndarray


def read_bin(path: Path) -> VerificationSet:
    """A verification set, its pictures still encoded.

    Raises InputError where it is absent, larger than 2 GB, or holds anything but pictures and truth values.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BIN:
            raise InputError(f"{path} is larger than {LARGEST_BIN // 10**9} GB; give a verification set.")
        budget = Budget(4 * size)
        held = read_pickle(io.BytesIO(path.read_bytes()), numpy_builders(budget), budget)
        pictures, same = held
        found = VerificationSet([_encoded(one) for one in pictures], np.array([_truth(one) for one in same]))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); put the verification set there."
        ) from error
    except (Refused, Damaged, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is no verification set of insightface ({error}); take the original file."
        ) from error
    if not len(found.same) or len(found.pictures) != 2 * len(found.same):
        raise InputError(
            f"{path} holds {len(found.pictures)} pictures for {len(found.same)} pairs; take the original file."
        )
    return found


def _encoded(one: Any) -> bytes:
    if isinstance(one, PendingArray) and one.array is not None and one.array.dtype == np.uint8:
        return one.array.tobytes()
    if isinstance(one, str):  # Python 2 wrote its byte strings as text
        return one.encode("latin-1")
    if not isinstance(one, bytes):
        raise ValueError(f"a picture is a {type(one).__name__}")
    return one


def _truth(one: Any) -> bool:
    if not isinstance(one, (bool, int)) or one not in (0, 1):
        raise ValueError(f"a pair is marked {one!r:.20}")
    return bool(one)


def verification_pictures(path: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [2 pairs, side, side, 3], RGB, and whether each pair is the same person [pairs] bool."""
    held = read_bin(path)
    pictures = [decode(data, f"{path}, picture {n}", side) for n, data in enumerate(held.pictures)]
    return np.stack(pictures), held.same


class Records(Sequence[tuple[bytes, int]]):
    """The pictures of a ``.rec`` with their classes, read one at a time: ``records[i]`` is (encoded picture, class).

    insightface's record 0 is no picture: its label says where the pictures end (its first number is the first key
    after them). Raises InputError where a file is absent or damaged.
    """

    def __init__(self, rec: Path):
        self.path = rec
        index = rec.with_suffix(".idx")
        try:
            self._file = rec.open("rb")
            lines = index.read_text().split("\n")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{rec} and {index.name} beside it cannot be read ({error}); put both there."
            ) from error
        self._offsets: dict[int, int] = {}
        for number, line in enumerate(lines, 1):
            words = line.split("\t")
            if line.strip():
                if len(words) != 2 or not all(word.strip().isdecimal() for word in words):
                    raise InputError(
                        f"{index}, line {number}: a key and an offset were expected; take the whole file."
                    )
                self._offsets[int(words[0])] = int(words[1])
        keys = sorted(self._offsets)
        if 0 in self._offsets:
            label, _ = self._read(0)
            keys = [key for key in keys if 0 < key < label[0]] if len(label) > 1 else keys
        if not keys:
            raise InputError(f"{index} lists no pictures; take the whole file.")
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> tuple[bytes, int]:  # type: ignore[override]
        label, content = self._read(self._keys[index])
        return content, int(label[0])

    def close(self) -> None:
        self._file.close()

    def _read(self, key: int) -> tuple[np.ndarray, bytes]:
        """Label float32 [n] and content of a record."""
        try:
            self._file.seek(self._offsets[key])
            magic, size = struct.unpack("<II", self._file.read(8))
            if magic != _MAGIC or size >> 29:
                raise ValueError("no whole record begins there")
            content = self._file.read(size & (1 << 29) - 1)
            flag, one, _, _ = struct.unpack_from("<IfQQ", content)
            if len(content) != size or 24 + 4 * flag > len(content):
                raise ValueError("it is cut off")
        except (OSError, ValueError, struct.error) as error:
            raise InputError(
                f"{self.path}: record {key} is damaged ({error}); take the whole file."
            ) from error
        labels = np.frombuffer(content, "<f4", flag, 24) if flag else np.array([one], np.float32)
        return labels, content[24 + 4 * flag :]


def image_folder(root: Path) -> tuple[list[Path], np.ndarray, list[str]]:
    """A folder with a folder of pictures for each class: files, classes int64 [N], and the classes' names, sorted.

    Raises InputError where there is none, or a class has no picture.
    """
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    if not names:
        raise InputError(
            f"{root} holds no folders; give a folder with one folder of pictures for each person."
        )
    files: list[Path] = []
    classes: list[int] = []
    for number, name in enumerate(names):
        own = sorted(
            file for file in (root / name).iterdir() if file.suffix.lower() in _ENDINGS and file.is_file()
        )
        if not own:
            raise InputError(f"{root / name} holds no picture ({', '.join(_ENDINGS)}); remove the folder.")
        files += own
        classes += [number] * len(own)
    return files, np.array(classes, np.int64), names
