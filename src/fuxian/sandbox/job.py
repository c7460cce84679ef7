"""What is to be run: the command and all that it may see and use."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from fuxian.errors import InputError
from fuxian.sandbox.collect import empty_folder
from fuxian.sandbox.limits import Limits
from fuxian.sandbox.mounts import Mount, Scratch, check


@dataclass(frozen=True)
class Job:
    """One command for the sandbox. Raises InputError for what makes no sense."""

    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    limits: Limits
    env: dict[str, str]
    cwd: str

    def __post_init__(self) -> None:
        if not self.command:
            raise InputError("There is no command to run in the sandbox.")
        if any("\0" in text for text in (*self.command, *self.env, *self.env.values(), self.cwd)):
            raise InputError("The sandbox command, its environment and its folder must not contain NUL.")
        for name in self.env:
            if not name or "=" in name:
                raise InputError(f"{name!r} cannot be the name of an environment variable.")
        if not PurePosixPath(self.cwd).is_absolute():
            raise InputError(f"The sandbox needs an absolute working folder, not {self.cwd!r}.")
        check(self.mounts)
        for mount in self.mounts:
            if isinstance(mount, Scratch) and mount.save_to is not None:
                empty_folder(mount.save_to)
