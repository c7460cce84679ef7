"""What held each part of the isolation and each limit of a run, in words for its evidence."""

from functools import cache
from subprocess import run

from fuxian.sandbox import launch
from fuxian.sandbox.cgroups import Group

NO_ISOLATION = "none"


def sandboxed(user: str, group: Group) -> dict[str, str]:
    cgroup = f"cgroup v{group.version}"
    return {
        "isolation": f"{bubblewrap_version()}: all namespaces of its own, no capabilities",
        "user": user,
        "system calls": "seccomp filter",
        "network": "empty network namespace; seccomp allows local and internet sockets only",
        "memory": cgroup if group.holds("memory") else "RLIMIT_DATA and watchdog",
        "pids": cgroup if group.holds("pids") else "RLIMIT_NPROC and watchdog",
        "cpus": cgroup if group.holds("cpu") else "CPU affinity",
        "cpu time": "RLIMIT_CPU and watchdog" + (f", counted by {cgroup}" if group.holds("cpu") else ""),
        "disk": "tmpfs size",
        "wall": "watchdog",
        "output": "watchdog",
    }


def unsandboxed() -> dict[str, str]:
    return {
        "isolation": NO_ISOLATION,
        "user": "the caller's own",
        "system calls": NO_ISOLATION,
        "network": NO_ISOLATION,
        "memory": "RLIMIT_DATA and watchdog",
        "pids": "watchdog",
        "cpus": NO_ISOLATION,
        "cpu time": "RLIMIT_CPU and watchdog",
        "disk": NO_ISOLATION,
        "wall": "watchdog",
        "output": "watchdog",
    }


@cache
def bubblewrap_version() -> str:
    """As bwrap says it, `bubblewrap 0.8.0` for example."""
    done = run([launch.tool("bwrap"), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()
