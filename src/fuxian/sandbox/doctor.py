"""What this machine can and cannot do for the sandbox, and how to mend it."""

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from fuxian.errors import PlatformError
from fuxian.sandbox import cgroups, launch, mechanisms, seccomp
from fuxian.sandbox.limits import Limits
from fuxian.sandbox.runner import run

OLDEST_BUBBLEWRAP = (0, 8, 0)  # the first with --disable-userns
UBUNTU_PROFILE = """\
abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}
"""


@dataclass(frozen=True)
class Row:
    """One thing that the sandbox stands on."""

    name: str
    ok: bool
    needed: bool
    """Without it there is no sandbox; what is not needed makes it better."""
    found: str
    mend: str = ""
    """What to do; empty where nothing is to be done."""


def examine() -> list[Row]:
    """Every row, whether it is well or not; the last is a real run in the sandbox."""
    return [
        _system(),
        *(_tool(name) for name in ("bwrap", "prlimit", "setpriv", "unshare", "mount", "taskset")),
        _bubblewrap_version(),
        _user_namespaces(Path("/proc/sys")),
        _apparmor(Path("/proc/sys"), Path("/etc/apparmor.d")),
        _unprivileged_user(),
        *_groups(cgroups.find()),
        _trial(),
    ]


def _system() -> Row:
    try:
        seccomp.program()
    except PlatformError as error:
        return Row("processor", False, True, platform.machine(), str(error))
    linux = sys.platform == "linux"
    mend = "" if linux else "Use Linux, or verify on a machine that runs it."
    return Row("system", linux, True, f"{platform.system()} {platform.release()}, {platform.machine()}", mend)


def _tool(name: str) -> Row:
    # An ordinary user needs no way to give up root.
    needed = name in ("bwrap", "prlimit") or (os.geteuid() == 0 and name != "taskset")
    try:
        return Row(name, True, needed, launch.tool(name))
    except PlatformError:
        package = "bubblewrap" if name == "bwrap" else "util-linux (and mount)"
        return Row(name, False, needed, "not found", f"Install the package {package}.")


def _bubblewrap_version() -> Row:
    name = "bubblewrap version"
    try:
        text = mechanisms.bubblewrap_version()
    except PlatformError:
        return Row(name, False, True, "not found", "Install the package bubblewrap.")
    version = tuple(map(int, re.findall(r"\d+", text)[:3]))
    ok = version >= OLDEST_BUBBLEWRAP
    return Row(name, ok, True, text, "" if ok else "Install bubblewrap 0.8.0 or newer.")


def _user_namespaces(sysctl: Path) -> Row:
    name = "user namespaces"
    limit = _value(sysctl / "user/max_user_namespaces")
    if limit == "0":
        return Row(name, False, True, "none allowed", "As root: sysctl -w user.max_user_namespaces=10000")
    if _value(sysctl / "kernel/unprivileged_userns_clone") == "0":
        mend = "As root: sysctl -w kernel.unprivileged_userns_clone=1"
        return Row(name, False, True, "not for ordinary users", mend)
    return Row(name, True, True, f"up to {limit}" if limit else "unknown; the trial below tells")


def _apparmor(sysctl: Path, profiles: Path) -> Row:
    """Ubuntu 23.10 and later allow user namespaces only to programs with an AppArmor profile."""
    name = "AppArmor profile for bwrap"
    if _value(sysctl / "kernel/apparmor_restrict_unprivileged_userns") != "1":
        return Row(name, True, True, "not needed here")
    found = [path.name for path in profiles.glob("*bwrap*")]
    if found:
        return Row(name, True, True, ", ".join(found))
    mend = f"As root, write this to /etc/apparmor.d/bwrap and reload AppArmor:\n{UBUNTU_PROFILE}"
    return Row(name, False, True, "missing", mend)


def _unprivileged_user() -> Row:
    name = "unprivileged user"
    if os.geteuid() != 0:
        return Row(name, True, True, f"the caller's own, {os.geteuid()}")
    try:
        user = launch.unprivileged_id(Path("/proc/self/uid_map").read_text())
    except PlatformError as error:
        return Row(name, False, True, "only root exists here", str(error))
    shared = user == launch.NOBODY
    found = "nobody, shared by all runs" if shared else "a fresh one for each run"
    return Row(name, True, True, found)


def _groups(hierarchy: cgroups.Hierarchy) -> list[Row]:
    mend = (
        "Start Fuxian in a control group of its own: `systemd-run --user --scope -p Delegate=yes fuxian ...`, "
        "or `Delegate=yes` in its service."
    )
    instead = {
        "memory": "RLIMIT_DATA and a watchdog that looks 20 times a second",
        "pids": "RLIMIT_NPROC and a watchdog",
        "cpu": "pinning to whole CPUs",
    }
    rows = []
    for controller in cgroups.CONTROLLERS:
        ok = controller in hierarchy.parents
        found = f"cgroup v{hierarchy.version}" if ok else f"no cgroup; {instead[controller]} instead"
        rows.append(Row(f"{controller} limit", ok, False, found, "" if ok else mend))
    return rows


def _trial() -> Row:
    name = "a run in the sandbox"
    try:
        outcome = run(["true"], limits=Limits(wall=10.0))
    except PlatformError as error:
        return Row(name, False, True, str(error), "Mend the rows above that are not well.")
    if outcome.reason != "ok":
        return Row(name, False, True, outcome.detail, "Mend the rows above that are not well.")
    return Row(name, True, True, f"took {outcome.wall * 1000:.0f} ms")


def _value(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
