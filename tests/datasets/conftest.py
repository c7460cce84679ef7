import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest


def _make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _make_raw_zip(path: Path, entries: Iterable[tuple[zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in entries:
            archive.writestr(info, data)
    return path


@pytest.fixture(scope="session")
def make_zip() -> Callable[..., Path]:
    """``make_zip(path, {name: bytes})`` writes a plain zip archive."""
    return _make_zip


@pytest.fixture(scope="session")
def make_raw_zip() -> Callable[..., Path]:
    """``make_raw_zip(path, [(ZipInfo, bytes)])`` writes a zip archive entry by entry, however odd."""
    return _make_raw_zip
