"""How much one run may use, and the part of it that the kernel's per-process limits hold."""

import math
import resource
from dataclasses import dataclass, fields

from fuxian.errors import InputError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one run may use. A run that passes a limit is stopped, and its outcome names the limit."""

    wall: float = 600.0
    """Seconds from start to end."""
    cpu_time: float | None = None
    """CPU seconds of all processes together; None: only `wall` bounds it."""
    cpus: float = 1.0
    """CPUs used at once; may be a fraction where a cgroup holds it."""
    memory: int = 2048 * MIB
    """Bytes of all processes together, and of what they write to scratch directories (held in memory)."""
    pids: int = 256
    """Processes and threads alive at once."""
    entries: int = 100_000
    """Files and directories in each scratch directory."""
    output: int = 64 * MIB
    """Bytes written to stdout and stderr together; a run that writes more is stopped."""
    kept: int = MIB
    """Bytes of each of stdout and stderr that the outcome keeps: the first and the last half."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"The sandbox limit `{field.name}` is {value}: give a number above zero.")


def process_limits(limits: Limits, *, memory: bool, pids: bool) -> list[str]:
    """Arguments of util-linux `prlimit`, for each process of the run.

    `memory` and `pids`: whether these must be held here because no cgroup holds them. RLIMIT_DATA counts
    what a process could write to, so it is a little stricter than memory really used.
    """
    arguments = ["--core=0", f"--nofile={_at_most(resource.RLIMIT_NOFILE, 4096)}"]
    if limits.cpu_time is not None:
        arguments.append(f"--cpu={_at_most(resource.RLIMIT_CPU, math.ceil(limits.cpu_time) + 1)}")
    if memory:
        arguments.append(f"--data={_at_most(resource.RLIMIT_DATA, limits.memory)}")
    if pids:
        # One more than allowed: the watchdog sees that one and stops the run.
        arguments.append(f"--nproc={_at_most(resource.RLIMIT_NPROC, limits.pids + 1)}")
    return arguments


def _at_most(kind: int, wanted: int) -> int:
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
