"""Runs a command that nobody trusts."""

import math
import os
import random
import select
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from fuxian.errors import PlatformError
from fuxian.sandbox import bubblewrap, cgroups, collect, launch, mechanisms, processes
from fuxian.sandbox.job import Job
from fuxian.sandbox.limits import Limits, process_limits
from fuxian.sandbox.mounts import Mount
from fuxian.sandbox.outcome import Capture, Outcome, readable
from fuxian.sandbox.supervise import Watched, conclude, end, kill_namespace, look, watch
from fuxian.sandbox.unsandboxed import run_unsandboxed

_SETUP = 30.0  # seconds that the sandbox may take to stand


def run(
    command: Sequence[str],
    *,
    mounts: Sequence[Mount] = (),
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str = "/tmp",  # noqa: S108
    cancel: threading.Event | None = None,
    allow_unsandboxed: bool = False,
) -> Outcome:
    """Runs `command` in a sandbox and returns what came of it.

    The command sees the system's programs and libraries read-only, `mounts`, a private /tmp, the variables
    `env` and a few usual ones, and nothing else: no network, no host files, no other processes. It has no
    input. It is stopped at `limits`, or when another thread sets `cancel`. When this returns, or raises,
    none of its processes is left.

    Raises InputError for mounts or arguments that make no sense, and PlatformError where this machine has
    no sandbox. With `allow_unsandboxed` the command then runs unprotected, and the outcome says so.
    """
    job = Job(tuple(command), tuple(mounts), limits or Limits(), dict(env or {}), cwd)
    try:
        launch.tool("bwrap")
    except PlatformError:
        if not allow_unsandboxed:
            raise
        return run_unsandboxed(job, cancel)
    with cgroups.group(job.limits, cgroups.find()) as group:
        return _run(job, cancel, group)


def _run(job: Job, cancel: threading.Event | None, group: cgroups.Group) -> Outcome:
    scratch = bubblewrap.scratch_directories(job.mounts, job.limits)
    with ExitStack() as files, launch.prepared(job.mounts) as (prefix, sources, user):
        pin = [] if group.holds("cpu") else _on_some_cpus(job.limits)
        rlimits = process_limits(job.limits, memory=not group.holds("memory"), pids=not group.holds("pids"))
        with ExitStack() as handed_over:
            options, descriptors = bubblewrap.arguments(
                job,
                sources,
                with_cgroup=group.holds("memory"),
                files=handed_over,
            )
            process = subprocess.Popen(  # noqa: S603 - a list, no shell
                [
                    *pin,
                    *prefix,
                    launch.tool("bwrap"),
                    *options,
                    *bubblewrap.held_command(job, rlimits),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                # The sandbox can read the environment that bwrap was started with.
                env={"PATH": launch.TOOLS_PATH},
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        files.enter_context(process)
        files.callback(_kill, process)
        init = _wait_until_held(process)
        init_descriptor = os.pidfd_open(init)
        files.callback(os.close, init_descriptor)
        run = Watched(
            process=process,
            root=init,
            kill=lambda: kill_namespace(process, init_descriptor),
            group=group,
            scratch=[],
            limits=job.limits,
            stdout=Capture(job.limits.kept, opening=bubblewrap.STARTED),
            stderr=Capture(job.limits.kept),
        )
        try:
            for one in scratch:
                run.scratch.append(_open_folder(init, one.target))
                files.callback(os.close, run.scratch[-1])
            # The first process too: the command may write to its memory, as it has the same user.
            for held in processes.tree(init):
                group.add(held.pid)
            began = time.monotonic()
            _release(process)
            stopped = watch(run, cancel)
            stopped = look(run) or stopped
        finally:
            status = end(run)
        wall = time.monotonic() - began
        saved = tuple(
            collect.save(descriptor, one.save_to, one.target, one.save)
            for descriptor, one in zip(run.scratch, scratch, strict=True)
            if one.save_to is not None
        )
    never_started = run.stdout.opening and stopped is None
    if never_started and b"Permission denied" in run.stderr.content():
        unread = ", ".join(str(one.source) for one in scratch if one.source is not None)
        raise PlatformError(
            f"the sandbox's user may not read all of {unread}: make its folders and files readable for others."
        )
    if never_started:
        # The command never started: what it was to start with does not fit in its scratch directory.
        stopped = "disk"
    return conclude(
        run,
        command=job.command,
        stopped=stopped,
        status=status,
        wall=wall,
        saved=saved,
        mechanisms=mechanisms.sandboxed(user, group),
        places=scratch,
    )


def _on_some_cpus(limits: Limits) -> list[str]:
    """Without a cgroup the share of CPUs is held by pinning to whole ones, chosen by lot."""
    usable = sorted(os.sched_getaffinity(0))
    count = min(len(usable), math.ceil(limits.cpus))
    chosen = random.SystemRandom().sample(usable, count)
    return [launch.tool("taskset"), "--cpu-list", ",".join(map(str, chosen))]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        process.kill()


def _wait_until_held(process: subprocess.Popen[bytes]) -> int:
    """Waits until the sandbox stands and holds the command back; the process id of its first process."""
    assert process.stdout is not None and process.stderr is not None  # noqa: S101
    said = b""
    while b"\n" not in said:
        if not select.select([process.stdout], [], [], _SETUP)[0]:
            raise PlatformError(f"The sandbox did not stand within {_SETUP:.0f} s: run `fuxian doctor`.")
        piece = process.stdout.read(1)
        if not piece:
            why = readable(process.stderr.read()).strip().replace("\n", "; ") or "it said nothing"
            raise PlatformError(f"The sandbox could not be set up ({why}): run `fuxian doctor`.")
        said += piece
    # The processes form one chain now, and the last, which holds the command back, is the child of the first.
    return processes.tree(process.pid)[-2].pid


def _open_folder(init: int, target: str) -> int:
    # Outlives the sandbox: with this descriptor its content can be read when every process has ended.
    return os.open(f"/proc/{init}/root{target}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _release(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101
    process.stdin.write(b"go\n")
    process.stdin.close()
