"""Watches one running command: reads what it prints, stops it at its limits, leaves no process behind."""

import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fuxian.errors import PlatformError
from fuxian.sandbox import processes
from fuxian.sandbox.cgroups import Group
from fuxian.sandbox.collect import Saved
from fuxian.sandbox.limits import Limits
from fuxian.sandbox.mechanisms import NO_ISOLATION
from fuxian.sandbox.mounts import Scratch
from fuxian.sandbox.outcome import Capture, Facts, Outcome, Reason, judge, readable, signal_of

TICK = 0.05  # seconds between two looks at what the run uses
_READ = 1 << 16
_END = 10.0  # seconds within which the kernel must have ended everything


@dataclass
class Usage:
    """What a run has used so far."""

    cpu: float = 0.0
    peak_memory: int = 0
    oom_kills: int = 0
    pids_refused: int = 0
    full: int | None = None
    """Which scratch directory had no byte left."""
    crowded: int | None = None
    """Which one had more files than it may."""


@dataclass
class Watched:
    """A started command and what is known of it."""

    process: subprocess.Popen[bytes]
    root: int
    """The process at and below which everything of the run lives."""
    kill: Callable[[], None]
    """Ends everything of the run."""
    group: Group
    scratch: list[int]
    """Open descriptors of the scratch directories."""
    limits: Limits
    stdout: Capture
    stderr: Capture
    usage: Usage = field(default_factory=Usage)


def watch(run: Watched, cancel: threading.Event | None) -> Reason | None:
    """Returns when the command has ended (None) or must be stopped (why). Either way the caller calls
    `end` next."""
    deadline = time.monotonic() + run.limits.wall
    next_look = 0.0
    with selectors.DefaultSelector() as selector:
        ended = os.pidfd_open(run.process.pid)
        try:
            selector.register(ended, selectors.EVENT_READ)
            for stream, capture in _streams(run):
                selector.register(stream, selectors.EVENT_READ, capture)
            while True:
                for key, _ in selector.select(TICK):
                    if key.fd == ended:
                        return None
                    data = os.read(key.fd, _READ)
                    if data:
                        key.data.add(data)
                    else:
                        selector.unregister(key.fd)
                now = time.monotonic()
                if cancel is not None and cancel.is_set():
                    return "cancelled"
                if now >= deadline:
                    return "timeout"
                if run.stdout.total + run.stderr.total > run.limits.output:
                    return "output"
                if now >= next_look:
                    next_look = now + TICK
                    stop = look(run)
                    if stop:
                        return stop
        finally:
            os.close(ended)


def look(run: Watched) -> Reason | None:
    """Brings `run.usage` up to date; says which limit was passed that only a look can hold."""
    usage, limits, group = run.usage, run.limits, run.group
    used = 0
    for number, descriptor in enumerate(run.scratch):
        figures = os.fstatvfs(descriptor)
        used += (figures.f_blocks - figures.f_bfree) * figures.f_frsize
        if figures.f_files - figures.f_ffree > limits.entries:
            usage.crowded = number
        if figures.f_bavail == 0:
            usage.full = number
    if not (group.holds("memory") and group.holds("pids") and group.cpu_seconds() is not None):
        alive = processes.tree(run.root)
        memory = processes.memory(alive, limits.memory - used) + used
        threads = sum(process.threads for process in alive)
        usage.peak_memory = max(usage.peak_memory, memory)
        usage.cpu = max(usage.cpu, sum(process.cpu for process in alive))
        if not group.holds("memory") and memory > limits.memory:
            return "oom"
        if not group.holds("pids") and threads > limits.pids:
            return "pids"
    usage.peak_memory = group.peak_memory() or usage.peak_memory
    usage.cpu = group.cpu_seconds() or usage.cpu
    usage.oom_kills = group.oom_kills()
    usage.pids_refused = group.pids_refused()
    if usage.oom_kills:
        return "oom"
    if usage.pids_refused > limits.pids:
        # Refused once or twice a program may recover; refused this often it only tries to start more.
        return "pids"
    if limits.cpu_time is not None and usage.cpu > limits.cpu_time:
        return "timeout"
    if usage.crowded is not None:
        return "disk"
    return None


def end(run: Watched) -> int:
    """Ends whatever is left of the run, reads the rest of its output and returns the exit status."""
    run.kill()
    status = _wait(run)
    for stream, capture in _streams(run):
        _drain(stream, capture)
    return status


def kill_namespace(process: subprocess.Popen[bytes], init: int) -> None:
    """Ends all processes of a sandbox: when the first process of a process namespace (`init`, a pidfd)
    dies, the kernel kills all others in it and only then lets it go."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(init, signal.SIGKILL)
    if not select.select([init], [], [], _END)[0]:
        process.kill()
        raise PlatformError("The kernel did not end the processes of a sandbox: look for ones in state D.")


def _wait(run: Watched) -> int:
    """Waits for the started process and returns its exit status, negative for a signal."""
    give_up = time.monotonic() + _END
    while run.process.returncode is None:
        pid, status, used = os.wait4(run.process.pid, os.WNOHANG)
        if pid:
            run.process.returncode = os.waitstatus_to_exitcode(status)
            # For a run so short that nobody looked.
            run.usage.cpu = max(run.usage.cpu, used.ru_utime + used.ru_stime)
            run.usage.peak_memory = run.usage.peak_memory or used.ru_maxrss * 1024
        elif time.monotonic() > give_up:
            run.process.kill()
        else:
            time.sleep(0.001)
    return run.process.returncode


def _drain(stream: int, capture: Capture) -> None:
    # No writer is left, so this ends; where one could be left (without a sandbox), it does not wait.
    os.set_blocking(stream, False)
    with suppress(BlockingIOError):
        while data := os.read(stream, _READ):
            capture.add(data)


def _streams(run: Watched) -> list[tuple[int, Capture]]:
    assert run.process.stdout is not None and run.process.stderr is not None  # noqa: S101
    return [(run.process.stdout.fileno(), run.stdout), (run.process.stderr.fileno(), run.stderr)]


def conclude(
    run: Watched,
    *,
    command: tuple[str, ...],
    stopped: Reason | None,
    status: int,
    wall: float,
    saved: tuple[Saved, ...],
    mechanisms: dict[str, str],
    places: Sequence[Scratch] = (),
) -> Outcome:
    """The outcome of a run that `end` has ended with `status`; `places` are the directories of `run.scratch`."""
    usage = run.usage
    full = usage.full if usage.crowded is None else usage.crowded
    # Where the first process of the run itself was killed, as a shell would report it.
    exit_status = None if stopped else status if status >= 0 else 128 - status
    cpu_limit = run.limits.cpu_time
    reason, detail = judge(
        Facts(
            status=exit_status,
            stopped=stopped,
            oom_kills=usage.oom_kills,
            pids_refused=usage.pids_refused,
            disk_was_full=usage.full is not None,
            full=places[full].target if full is not None else "",
            full_bytes=places[full].size if full is not None and usage.crowded is None else 0,
            limits=run.limits,
            cpu_limit_passed=cpu_limit is not None and usage.cpu > cpu_limit,
            last_words=readable(run.stderr.content()[-4096:]),
        )
    )
    signal = signal_of(exit_status)
    return Outcome(
        command=command,
        reason=reason,
        detail=detail,
        exit_code=None if signal else exit_status,
        signal=signal,
        wall=wall,
        cpu=usage.cpu,
        peak_memory=usage.peak_memory,
        stdout=run.stdout.content(),
        stderr=run.stderr.content(),
        stdout_left_out=run.stdout.left_out,
        stderr_left_out=run.stderr.left_out,
        sandboxed=mechanisms["isolation"] != NO_ISOLATION,
        mechanisms=mechanisms,
        saved=saved,
    )
