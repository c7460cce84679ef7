"""Temporary folders that do not outlive a process that was killed: the next one sweeps what was left."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "fuxian-"
FRESH = 60.0
"""Seconds within which a folder may be made and not yet held."""


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A new folder, gone at the end; first removes those of the same purpose that nobody holds any more.

    A folder is held by a lock on itself, which the kernel lets go of when its process ends in whatever way.
    """
    _sweep(purpose)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-"))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _sweep(purpose: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{purpose}-*"):
        with suppress(OSError):
            about = folder.lstat()
            fresh = time.time() - about.st_ctime < FRESH
            if fresh or not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
