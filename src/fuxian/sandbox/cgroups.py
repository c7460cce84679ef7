"""Control groups: one group per run, in version 2 where this process may make one, else version 1.

A group is made beside or below the caller's own, so that the limits which bind the caller go on binding
what it runs. Where a controller cannot be had its limit is held by other means (see `runner`).
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fuxian.errors import PlatformError
from fuxian.sandbox.limits import Limits

CONTROLLERS = ("memory", "pids", "cpu")
_PERIOD = 100_000  # microseconds, the kernel's default for CPU quotas
_PREFIX = "fuxian"
# Kernels without swap accounting do not have these.
_SWAP = ("memory.swap.max", "memory.memsw.limit_in_bytes")


@dataclass(frozen=True)
class Hierarchy:
    """Where a group may be made: for each controller that can be had, the folder to make it in."""

    version: int
    parents: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """The control group of one run; `folders` by controller, the same folder for several in version 2."""

    version: int
    folders: dict[str, Path]

    def holds(self, controller: str) -> bool:
        return controller in self.folders

    def add(self, pid: int) -> None:
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def peak_memory(self) -> int | None:
        """Bytes; None where no group counts them."""
        return self._number("memory", {1: "memory.max_usage_in_bytes", 2: "memory.peak"}[self.version])

    def oom_kills(self) -> int:
        """How many processes the kernel ended because the group was out of memory."""
        return self._event("memory", {1: "memory.oom_control", 2: "memory.events"}[self.version], "oom_kill")

    def pids_refused(self) -> int:
        """How often the group could not start a process or thread."""
        return self._event("pids", "pids.events", "max")

    def cpu_seconds(self) -> float | None:
        """CPU seconds of all processes; None where no group counts them."""
        if self.version == 2:
            used = self._event("cpu", "cpu.stat", "usage_usec")
            return used / 1e6 if self.holds("cpu") else None
        used_ns = self._number("cpuacct", "cpuacct.usage")
        return None if used_ns is None else used_ns / 1e9

    def _number(self, controller: str, name: str) -> int | None:
        if not self.holds(controller):
            return None
        try:
            return int((self.folders[controller] / name).read_text())
        except (OSError, ValueError):
            return None

    def _event(self, controller: str, name: str, key: str) -> int:
        if not self.holds(controller):
            return 0
        try:
            text = (self.folders[controller] / name).read_text()
        except OSError:
            return 0
        found = re.search(rf"^{key} (\d+)$", text, re.MULTILINE)
        return int(found[1]) if found else 0


def find(proc: Path = Path("/proc/self")) -> Hierarchy:
    """The best hierarchy that this process may use; with no parents where it may use none."""
    mounts = _mounts(proc)
    own = _own_groups(proc)
    version2 = _find_version_2(mounts, own)
    if "memory" in version2.parents and "pids" in version2.parents:
        return version2
    version1 = _find_version_1(mounts, own)
    return max(version1, version2, key=lambda hierarchy: len(hierarchy.parents))


@contextmanager
def group(limits: Limits, hierarchy: Hierarchy) -> Iterator[Group]:
    """A fresh group with `limits`, removed at the end; all its processes must have ended by then."""
    name = f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(4)}"
    folders: dict[str, Path] = {}
    try:
        for controller, parent in hierarchy.parents.items():
            _remove_abandoned(parent)
            (parent / name).mkdir(exist_ok=True)
            folders[controller] = parent / name
        made = Group(hierarchy.version, folders)
        _set_limits(made, limits)
        yield made
    finally:
        for folder in set(folders.values()):
            _remove(folder)


def _set_limits(group: Group, limits: Limits) -> None:
    quota = max(1000, int(limits.cpus * _PERIOD))
    settings: dict[str, dict[str, int | str]]
    if group.version == 2:
        settings = {
            "memory": {"memory.max": limits.memory, "memory.swap.max": 0, "memory.oom.group": 1},
            "pids": {"pids.max": limits.pids},
            "cpu": {"cpu.max": f"{quota} {_PERIOD}"},
        }
    else:
        settings = {
            "memory": {
                "memory.limit_in_bytes": limits.memory,
                "memory.memsw.limit_in_bytes": limits.memory,
            },
            "pids": {"pids.max": limits.pids},
            "cpu": {"cpu.cfs_period_us": _PERIOD, "cpu.cfs_quota_us": quota},
        }
    for controller, values in settings.items():
        if not group.holds(controller):
            continue
        for name, value in values.items():
            path = group.folders[controller] / name
            if name in _SWAP and not path.exists():
                continue
            try:
                path.write_text(str(value))
            except OSError as error:
                raise PlatformError(
                    f"The kernel refused the limit {value} in {path}: {error.strerror}."
                ) from error


def _find_version_2(mounts: list["_CgroupMount"], own: dict[str, str]) -> Hierarchy:
    for mount in mounts:
        if mount.version != 2:
            continue
        here = mount.folder(own.get("", "/"))
        # A group with processes of its own cannot have groups with limits below it, unless it is the
        # kernel's root; then a group beside it is made.
        for parent in (here, here.parent):
            if parent != mount.point and not parent.is_relative_to(mount.point):
                continue
            # To move a process takes the right to write to the nearest group above both places.
            if not os.access(parent, os.W_OK) or not os.access(parent / "cgroup.procs", os.W_OK):
                continue
            parents = dict.fromkeys(_enabled(parent), parent)
            if "memory" in parents and "pids" in parents:
                return Hierarchy(2, parents)
    return Hierarchy(2)


def _enabled(parent: Path) -> list[str]:
    control = parent / "cgroup.subtree_control"
    with suppress(OSError):
        offered = (parent / "cgroup.controllers").read_text().split()
        for controller in CONTROLLERS:
            if controller in offered and controller not in control.read_text().split():
                with suppress(OSError):
                    control.write_text(f"+{controller}")
        return [controller for controller in CONTROLLERS if controller in control.read_text().split()]
    return []


def _find_version_1(mounts: list["_CgroupMount"], own: dict[str, str]) -> Hierarchy:
    parents = {}
    for mount in mounts:
        if mount.version != 1:
            continue
        for controller in (*CONTROLLERS, "cpuacct"):
            if controller in mount.controllers:
                parent = mount.folder(own.get(controller, "/"))
                if os.access(parent, os.W_OK):
                    parents[controller] = parent
    return Hierarchy(1, parents)


@dataclass(frozen=True)
class _CgroupMount:
    version: int
    point: Path
    root: str
    controllers: frozenset[str]

    def folder(self, own: str) -> Path:
        # Inside a container the mount shows a part of the hierarchy, while /proc may name the whole path.
        below = own[len(self.root) :] if own.startswith(self.root) else own
        folder = self.point / below.strip("/")
        return folder if folder.is_dir() else self.point


def _mounts(proc: Path) -> list[_CgroupMount]:
    found = []
    with suppress(OSError):
        for line in (proc / "mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            root, point = before.split(" ")[3:5]
            if kind == "cgroup2":
                found.append(_CgroupMount(2, Path(point), root, frozenset()))
            elif kind == "cgroup":
                found.append(_CgroupMount(1, Path(point), root, frozenset(options.split(","))))
    return found


def _own_groups(proc: Path) -> dict[str, str]:
    groups = {}
    with suppress(OSError):
        for line in (proc / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


def _remove_abandoned(parent: Path) -> None:
    """Removes the groups of callers that were killed before they could."""
    for folder in parent.glob(f"{_PREFIX}-*-*"):
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not Path("/proc", owner).exists():
            with suppress(OSError):
                folder.rmdir()


def _remove(folder: Path) -> None:
    # A process that has just ended may still be counted for an instant.
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
