"""What of the host a sandboxed command sees, and where it may write."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fuxian.errors import InputError
from fuxian.sandbox.collect import SaveLimits
from fuxian.sandbox.limits import MIB

RESERVED = ("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr")


@dataclass(frozen=True)
class ReadOnly:
    """A host file or folder, seen but not writable, at `target` (default: its own path)."""

    source: Path
    target: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", Path(self.source).absolute())
        object.__setattr__(self, "target", self.target or str(self.source))


@dataclass(frozen=True)
class Scratch:
    """A writable folder held in memory, gone after the run.

    It holds at most `size` bytes. With `source` it starts as a copy of that host folder. With `save_to`
    what it holds at the end is copied out to that folder, which must be empty or absent, under `save`.
    """

    target: str
    size: int = 256 * MIB
    source: Path | None = None
    save_to: Path | None = None
    save: SaveLimits = field(default_factory=SaveLimits)


Mount = ReadOnly | Scratch


def check(mounts: Sequence[Mount]) -> None:
    """Raises InputError for a mount that cannot be made or that would weaken the sandbox."""
    targets: set[str] = set()
    for mount in mounts:
        _check_target(mount)
        if mount.target in targets:
            raise InputError(f"Two sandbox mounts share the target {mount.target}: give each its own.")
        targets.add(mount.target)
        source = mount.source
        if source is not None and not source.exists():
            raise InputError(f"The sandbox mount {mount.target} has no source: {source} does not exist.")
        if isinstance(mount, Scratch):
            if source is not None and not source.is_dir():
                raise InputError(
                    f"The sandbox mount {mount.target} can only copy a folder: {source} is none."
                )
            if mount.size <= 0:
                raise InputError(f"The size of the sandbox mount {mount.target} must be above zero.")
    # What lies under a read-only mount or a copy is the entrant's: a link there could lead elsewhere.
    for mount in mounts:
        for other in mounts:
            inside = other.target in map(str, PurePosixPath(mount.target).parents)
            if isinstance(mount, Scratch) and inside:
                raise InputError(
                    f"The writable sandbox mount {mount.target} lies inside the mount {other.target}: "
                    "put it beside it."
                )


def _check_target(mount: Mount) -> None:
    target = mount.target
    path = PurePosixPath(target)
    if not path.is_absolute() or str(path) != target or ".." in path.parts or "\0" in target:
        raise InputError(f"The sandbox mount target {target!r} must be a plain absolute path.")
    if target == "/":
        raise InputError("A sandbox mount cannot replace the whole file system: choose a folder as target.")
    below_system = path.parts[1] in RESERVED
    if below_system and (isinstance(mount, Scratch) or str(mount.source) != target):
        raise InputError(f"The sandbox mount target {target} lies in a system folder: choose another.")


def python_runtime(executable: Path | str) -> tuple[ReadOnly, ...]:
    """What the Python interpreter `executable` needs besides /usr: its virtual environment and its base.

    Looks at files only and runs nothing. Raises InputError where no interpreter is found.
    """
    executable = Path(executable).absolute()
    if not executable.exists():
        raise InputError(f"There is no Python interpreter at {executable}.")
    folders: list[Path] = []
    interpreter = executable
    environment = executable.parent.parent
    if (environment / "pyvenv.cfg").is_file():
        folders.append(environment)
        home = re.search(r"^home\s*=\s*(.+?)\s*$", (environment / "pyvenv.cfg").read_text(), re.MULTILINE)
        if home is None:
            raise InputError(f"{environment / 'pyvenv.cfg'} names no `home`: make the environment anew.")
        interpreter = Path(home[1]) / "python3"
    for path in (interpreter, Path(os.path.realpath(executable))):
        prefix = path.parent.parent
        if not list(prefix.glob("lib/python3*")):
            raise InputError(f"{prefix} does not look like a Python installation: it has no lib/python3*.")
        # Not the prefix itself: of ~/.local, say, only these parts are Python's.
        folders += [prefix / name for name in ("bin", "lib", "lib64") if (prefix / name).is_dir()]
    outside = [folder for folder in dict.fromkeys(folders) if not folder.is_relative_to("/usr")]
    return tuple(ReadOnly(folder) for folder in outside)
