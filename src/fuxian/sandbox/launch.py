"""From the caller's identity to bwrap: drops root for a real unprivileged user before anything else runs.

A user namespace alone does not do that: root that enters one is still root to the kernel, and could write
/proc/sys/kernel/core_pattern, for example.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from fuxian.errors import PlatformError
from fuxian.sandbox.mounts import Mount

TOOLS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534
_STAGES = Path("/run")
# Above every range that distributions, containers and systemd give out.
_FRESH = range(0x70000000, 0x7FFE0000)

# Runs as root in a mount namespace of its own, which ends with it. Arguments: pairs of source and place,
# `--`, the command to become.
STAGE = """\
while [ "$1" != -- ]; do
  mount --rbind "$1" "$2" || exit 1
  shift 2
done
shift
exec "$@"
"""


def tool(name: str) -> str:
    """The path of a system program; raises PlatformError where it is missing."""
    path = shutil.which(name, path=TOOLS_PATH)
    if path is None:
        package = "bubblewrap" if name == "bwrap" else "util-linux"
        raise PlatformError(
            f"The sandbox needs the program `{name}`, and it is not installed: "
            f"install your system's package `{package}` (`fuxian doctor` lists all that is missing)."
        )
    return path


def unprivileged_id(uid_map: str) -> int:
    """A user and group id that owns nothing: one that no run had before where this machine has room for it.

    `uid_map` is the text of /proc/self/uid_map. Raises PlatformError where no other id exists.
    """
    fresh = secrets.choice(_FRESH)
    for candidate in (fresh, NOBODY):
        for line in uid_map.splitlines():
            first, _, count = map(int, line.split())
            if first <= candidate < first + count:
                return candidate
    raise PlatformError(
        "The sandbox cannot give up root here: this user namespace has no other user id. "
        "Run Fuxian as an ordinary user."
    )


@contextmanager
def prepared(mounts: Sequence[Mount]) -> Iterator[tuple[list[str], list[Path | None], str]]:
    """What to put before `bwrap`, where the sources of `mounts` will be found, and who bwrap will be.

    An ordinary caller needs nothing. For root, `setpriv` drops to an unprivileged user; that user cannot
    walk through a private home (where an interpreter may live), so each source is first bound to a place
    that it can reach.
    """
    sources = [mount.source for mount in mounts]
    if os.geteuid() != 0:
        yield [], sources, f"the caller's own, {os.geteuid()}"
        return
    user = unprivileged_id(Path("/proc/self/uid_map").read_text())
    drop = [tool("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs", "--"]
    _remove_abandoned()
    stage = Path(mkdtemp(prefix=f"fuxian-{os.getpid()}-", dir=_STAGES))
    try:
        stage.chmod(0o711)
        places: list[Path | None] = []
        binds: list[str] = []
        for index, source in enumerate(sources):
            if source is None:
                places.append(None)
                continue
            place = stage / str(index)
            if source.is_dir():
                place.mkdir()
            else:
                place.touch()
            places.append(place)
            binds += [str(source), str(place)]
        private = [tool("unshare"), "--mount", "--propagation", "private", "--"]
        yield (
            [*private, "/bin/sh", "-c", STAGE, "sh", *binds, "--", *drop],
            places,
            f"unprivileged user {user}",
        )
    finally:
        _remove(stage)


def _remove_abandoned() -> None:
    """Removes the folders of callers that were killed before they could."""
    for folder in _STAGES.glob("fuxian-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _remove(folder)


def _remove(stage: Path) -> None:
    # One by one and never recursively: what is bound there must not be touched, whatever went wrong.
    with suppress(OSError):
        for place in stage.iterdir():
            if place.is_dir():
                place.rmdir()
            else:
                place.unlink()
        stage.rmdir()
