"""How this process was called, so that a command that is printed runs as printed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def command(*arguments: object) -> str:
    """The line that runs ``fuxian ARGUMENTS`` in this shell: by the program's path where PATH does not lead to it."""
    return shlex.join([program("fuxian"), *map(str, arguments)])


def program(name: str) -> str:
    """``name`` where PATH leads to the one of this environment, else that one's path, relative where it lies here.

    Fuxian's own environment need not be activated, and then PATH leads to no ``fuxian`` or to another one.
    """
    own = Path(sys.executable).parent / name
    on_path = shutil.which(name)
    if not own.exists() or (on_path is not None and Path(on_path).resolve() == own.resolve()):
        return name
    try:
        return str(own.relative_to(Path.cwd()))
    except ValueError:
        return str(own)
