"""The arguments of `bwrap` for one run."""

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from fuxian.sandbox import seccomp
from fuxian.sandbox.job import Job
from fuxian.sandbox.limits import MIB, Limits
from fuxian.sandbox.mounts import Mount, Scratch

UID = 1000  # inside; outside it is whoever runs bwrap
COPIES = "/run/fuxian"  # where the sources of scratch directories are seen
_SYSTEM = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_ETC = ("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime")
_FILES = {
    "/etc/passwd": f"sandbox:x:{UID}:{UID}::/tmp:/bin/sh\n",
    "/etc/group": f"sandbox:x:{UID}:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}

# Until all limits are in place nothing but this runs in the sandbox. It says `ready`, waits for a line
# (at the end of its input, when the caller has died, it gives up), fills the scratch directories that start
# as a copy, says `start`, and becomes the command. Arguments: pairs of source and target, `--`, the command.
HOLD = """\
echo ready
read -r go || exit 1
while [ "$1" != -- ]; do
  cp -R -- "$1/." "$2" || exit 1
  shift 2
done
shift
echo start
exec "$@" </dev/null
"""
STARTED = b"start\n"


def scratch_directories(mounts: Sequence[Mount], limits: Limits) -> list[Scratch]:
    """Every writable place of the run: what was asked for, and the two that programs take for granted."""
    asked = [mount for mount in mounts if isinstance(mount, Scratch)]
    size = min(512 * MIB, limits.memory // 4)  # they count as memory too
    usual = [Scratch("/tmp", size), Scratch("/dev/shm", size)]  # noqa: S108
    return asked + [mount for mount in usual if mount.target not in {scratch.target for scratch in asked}]


def environment(env: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """The variables that the command sees: these few and `env`, nothing of the caller's own."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108
        "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        # Libraries count the machine's CPUs, not the share they may use.
        "OMP_NUM_THREADS": str(math.ceil(limits.cpus)),
        **env,
    }


def held_command(job: Job, rlimits: Sequence[str]) -> list[str]:
    """The job's command behind HOLD and util-linux `prlimit`: what bwrap starts in the sandbox."""
    copies: list[str] = []
    for index, mount in enumerate(job.mounts):
        if isinstance(mount, Scratch) and mount.source is not None:
            copies += [f"{COPIES}/{index}", mount.target]
    return ["/bin/sh", "-c", HOLD, "sh", *copies, "--", "prlimit", *rlimits, "--", *job.command]


def arguments(
    job: Job,
    sources: Sequence[Path | None],
    *,
    with_cgroup: bool,
    files: ExitStack,
) -> tuple[list[str], list[int]]:
    """The arguments of bwrap before the command, and the descriptors that it must inherit.

    `sources` says where each mount's source is found, None for an empty one. The options themselves travel
    in a descriptor too: the sandbox could read a command line, and they name places of the host. `files`
    closes what is opened.
    """
    descriptors: list[int] = []

    def data(content: bytes) -> str:
        descriptor = os.memfd_create("fuxian")
        files.callback(os.close, descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        descriptors.append(descriptor)
        return str(descriptor)

    options = [
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup", "--disable-userns", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--uid", str(UID), "--gid", str(UID), "--hostname", "sandbox"),
        *("--seccomp", data(seccomp.program(with_cgroup=with_cgroup))),
        "--clearenv",
    ]
    for name, value in environment(job.env, job.limits).items():
        options += ["--setenv", name, value]
    options += ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        options += ["--ro-bind-try", name, name]
    for name, text in _FILES.items():
        options += ["--perms", "0444", "--file", data(text.encode()), name]
    # Numeric libraries read the number and kind of CPUs there.
    options += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
    options += ["--proc", "/proc", "--dev", "/dev"]

    for scratch in scratch_directories(job.mounts, job.limits):
        if scratch not in job.mounts:
            options += ["--perms", "0700", "--size", str(scratch.size), "--tmpfs", scratch.target]
    placed = sorted(zip(job.mounts, sources, range(len(sources)), strict=True), key=lambda one: one[0].target)
    for mount, source, index in placed:
        if isinstance(mount, Scratch):
            options += ["--perms", "0700", "--size", str(mount.size), "--tmpfs", mount.target]
        if source is not None:
            target = f"{COPIES}/{index}" if isinstance(mount, Scratch) else mount.target
            options += ["--ro-bind", str(source), target]
    # bwrap builds / and /dev in memory without a size: nobody may write there.
    options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", job.cwd]
    return ["--args", data(b"".join(os.fsencode(option) + b"\0" for option in options)), "--"], descriptors
