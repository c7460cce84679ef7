"""What the processes of a run use, read from /proc: the watchdog's view where no cgroup counts."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    cpu: float
    """CPU seconds, of children that ended and were waited for too."""
    memory: int
    """Bytes resident; memory shared with others counted whole."""
    threads: int


def tree(root: int) -> list[Process]:
    """The process `root` and all below it."""
    children: dict[int, list[Process]] = {}
    found: list[Process] = []
    for folder in Path("/proc").iterdir():
        process = _read(int(folder.name)) if folder.name.isdigit() else None
        if process is not None:
            children.setdefault(process.parent, []).append(process)
            found += [process] if process.pid == root else []
    queue = [root]
    while queue:
        below = children.pop(queue.pop(), [])
        found += below
        queue += [process.pid for process in below]
    return found


def memory(processes: list[Process], limit: int) -> int:
    """Bytes held by `processes`; memory that several share counts once where the sum would pass `limit`."""
    total = sum(process.memory for process in processes)
    if total <= limit:
        return total
    # Worth its price only here: processes forked from a large one share most of what they show.
    return sum(_proportional(process) for process in processes)


def _proportional(process: Process) -> int:
    with suppress(OSError):
        for line in Path("/proc", str(process.pid), "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return process.memory


def _read(pid: int) -> Process | None:
    try:
        text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything, spaces and parentheses too.
    values = text.rpartition(")")[2].split()
    cpu = sum(int(ticks) for ticks in values[11:15]) / _TICKS
    return Process(pid, int(values[1]), cpu, int(values[21]) * _PAGE, int(values[17]))
