"""Fuxian's own wheel, for a package to carry: no index has Fuxian, and a package is to be installed as it says."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import fuxian
from fuxian.errors import PlatformError

FOLDER = "wheels"
"""Where the wheel lies in a package."""
LEFT_OUT = ("*/__pycache__/*", "papers/*/weights/*", "papers/*/reference/recordings/*", "*.pyc")
"""What no submission's code reads: it has weights and a log of its own."""
MOMENT = (2020, 1, 1, 0, 0, 0)
"""Of every file, so that the same code gives the same wheel."""


def wheel_name() -> str:
    """The file's name."""
    return f"fuxian-{fuxian.__version__}-py3-none-any.whl"


def write_wheel(folder: Path) -> Path:
    """Writes the wheel of the running Fuxian into ``folder`` and returns its path.

    Raises PlatformError where Fuxian is not installed, so that nothing says what it requires.
    """
    package = Path(fuxian.__file__).parent
    try:
        about = importlib.metadata.distribution("fuxian")
    except importlib.metadata.PackageNotFoundError as error:
        raise PlatformError(
            "Fuxian is not installed here, only run from its source; `make setup` installs it."
        ) from error
    info = f"fuxian-{fuxian.__version__}.dist-info"
    members = {f"fuxian/{name}": (package / name).read_bytes() for name in _files(package)}
    members[f"{info}/METADATA"] = (about.read_text("METADATA") or "").encode()
    members[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: fuxian\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    members[f"{info}/entry_points.txt"] = (about.read_text("entry_points.txt") or "").encode()
    record = "".join(
        f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in members.items()
    )
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / wheel_name()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return file


def _files(package: Path) -> list[str]:
    found = (path.relative_to(package).as_posix() for path in sorted(package.rglob("*")) if path.is_file())
    return [name for name in found if not any(fnmatch(f"/{name}", f"*/{pattern}") for pattern in LEFT_OUT)]


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
