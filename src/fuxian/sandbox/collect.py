"""Copies what an untrusted run left in a scratch directory out to the host.

Only plain files and folders with plain names come out. Links are not followed and not kept: every step
opens one name inside a folder that is already open, so no path can lead elsewhere.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fuxian.errors import InputError

_CHUNK = 1 << 20
_REFUSALS_NAMED = 100
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO put in place of a file would block an open without O_NONBLOCK.
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COPY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class SaveLimits:
    """What of one scratch directory may be copied out."""

    size: int = 1 << 30
    """Bytes of all files together; of a sparse file every byte counts, holes included."""
    entries: int = 10_000
    """Files and folders."""
    path: int = 512
    """Bytes of one path below the directory."""
    depth: int = 32
    """Folders within folders."""


@dataclass(frozen=True)
class Saved:
    """What came out of one scratch directory."""

    target: str
    files: tuple[str, ...]
    """Paths below the directory, in order."""
    size: int
    refused: tuple[tuple[str, str], ...]
    """(path, why) of what was left behind; at most the first 100."""
    refusals: int
    """How much was left behind in all."""


class _Tally:
    def __init__(self, limits: SaveLimits) -> None:
        self.limits = limits
        self.files: list[str] = []
        self.size = 0
        self.entries = 0
        self.refused: list[tuple[str, str]] = []
        self.refusals = 0

    def refuse(self, path: str, why: str) -> None:
        self.refusals += 1
        if len(self.refused) < _REFUSALS_NAMED:
            self.refused.append((ascii(path)[1:-1], why))


def empty_folder(path: Path) -> None:
    """Makes sure that `path` is an empty folder; raises InputError if it is anything else."""
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise InputError(f"The results of a run go to an empty folder: {path} is not empty.")


def save(folder: int, destination: Path, target: str, limits: SaveLimits) -> Saved:
    """Copies the open folder `folder` to the empty folder `destination`. Nothing may be writing to it."""
    tally = _Tally(limits)
    copy = os.open(destination, _FOLDER)
    try:
        _save_folder(folder, copy, "", 1, tally)
    finally:
        os.close(copy)
    return Saved(target, tuple(tally.files), tally.size, tuple(tally.refused), tally.refusals)


def _save_folder(folder: int, copy: int, below: str, depth: int, tally: _Tally) -> None:
    room = tally.limits.entries - tally.entries
    with os.scandir(folder) as listing:
        names = sorted(entry.name for entry in islice(listing, room + 1))
    if len(names) > room:
        tally.refuse(below or ".", f"more than {tally.limits.entries} files and folders in all")
        names = names[:room]
    for name in names:
        tally.entries += 1
        path = f"{below}/{name}" if below else name
        why = _bad_path(path, name, tally.limits)
        if why:
            tally.refuse(path, why)
            continue
        try:
            # Looked at before it is opened: to open a device can already do something.
            kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISREG(kind):
                _save_file(folder, copy, name, path, tally)
            elif stat.S_ISDIR(kind) and depth >= tally.limits.depth:
                tally.refuse(path, f"more than {tally.limits.depth} folders deep")
            elif stat.S_ISDIR(kind):
                os.mkdir(name, mode=0o755, dir_fd=copy)
                with _opened(name, _FOLDER, folder) as inner, _opened(name, _FOLDER, copy) as inner_copy:
                    _save_folder(inner, inner_copy, path, depth + 1, tally)
            else:
                tally.refuse(path, _KINDS.get(stat.S_IFMT(kind), "neither a file nor a folder"))
        except PermissionError:
            tally.refuse(path, "not readable")


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _bad_path(path: str, name: str, limits: SaveLimits) -> str | None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if size > limits.path:
        return f"a path of more than {limits.path} bytes"
    if not name.isprintable():
        return "a name with control characters"
    return None


def _save_file(folder: int, copy: int, name: str, path: str, tally: _Tally) -> None:
    with _opened(name, _SOURCE, folder) as source:
        size = os.fstat(source).st_size
        if tally.size + size > tally.limits.size:
            tally.refuse(path, f"more than {tally.limits.size} bytes in all")
            return
        with (
            _opened(name, _COPY, copy) as target,
            open(source, "rb", closefd=False) as reader,
            open(target, "wb", closefd=False) as writer,
        ):
            shutil.copyfileobj(reader, writer, _CHUNK)
        tally.size += size
        tally.files.append(path)


@contextmanager
def _opened(name: str, flags: int, folder: int) -> Iterator[int]:
    descriptor = os.open(name, flags, 0o644, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
