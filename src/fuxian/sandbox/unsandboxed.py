"""Runs a command with limits and without any protection, for machines that have no sandbox."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from fuxian.sandbox import bubblewrap, collect, launch, mechanisms, processes
from fuxian.sandbox.cgroups import Group
from fuxian.sandbox.job import Job
from fuxian.sandbox.limits import process_limits
from fuxian.sandbox.mounts import Scratch
from fuxian.sandbox.outcome import Capture, Outcome
from fuxian.sandbox.supervise import Watched, conclude, end, look, watch


def run_unsandboxed(job: Job, cancel: threading.Event | None) -> Outcome:
    """As `runner.run`, but the command runs as the caller, sees the host and has the network.

    The mounts become real folders, and their targets are replaced by those in the command, the
    environment and the working folder. A process that leaves the command's session may survive.
    """
    with ExitStack() as files:
        places = _places(job, Path(files.enter_context(TemporaryDirectory(prefix="fuxian-"))))
        environment = bubblewrap.environment(
            {"PATH": os.environ.get("PATH", launch.TOOLS_PATH), **job.env}, job.limits
        )
        rlimits = process_limits(job.limits, memory=True, pids=False)
        process = subprocess.Popen(  # noqa: S603 - a list, no shell
            [launch.tool("prlimit"), *rlimits, "--", *(_placed(part, places) for part in job.command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: _placed(value, places) for name, value in environment.items()},
            cwd=_placed(job.cwd, places),
            start_new_session=True,
            bufsize=0,
        )
        files.enter_context(process)
        run = Watched(
            process=process,
            root=process.pid,
            kill=lambda: _kill(process),
            group=Group(2, {}),
            scratch=[],
            limits=job.limits,
            stdout=Capture(job.limits.kept),
            stderr=Capture(job.limits.kept),
        )
        stopped = None
        began = time.monotonic()
        try:
            stopped = watch(run, cancel)
            stopped = look(run) or stopped
        finally:
            status = end(run)
        wall = time.monotonic() - began
        saved = tuple(
            _save(places[mount.target], mount)
            for mount in job.mounts
            if isinstance(mount, Scratch) and mount.save_to is not None
        )
    return conclude(
        run,
        command=job.command,
        stopped=stopped,
        status=status,
        wall=wall,
        saved=saved,
        mechanisms=mechanisms.unsandboxed(),
    )


def _places(job: Job, home: Path) -> dict[str, Path]:
    places: dict[str, Path] = {}
    for mount in job.mounts:
        if not isinstance(mount, Scratch):
            places[mount.target] = mount.source
    for index, scratch in enumerate(bubblewrap.scratch_directories(job.mounts, job.limits)):
        place = home / str(index)
        if scratch.source is None:
            place.mkdir()
        else:
            shutil.copytree(scratch.source, place, symlinks=True)
        places[scratch.target] = place
    return places


def _placed(text: str, places: dict[str, Path]) -> str:
    # The longest target first: /work/data may be a mount of its own inside /work.
    targets = "|".join(re.escape(target) for target in sorted(places, key=len, reverse=True))
    return re.sub(rf"(?<![^=:,])({targets})(?=$|[/:,])", lambda found: str(places[found[1]]), text)


def _kill(process: subprocess.Popen[bytes]) -> None:
    for found in processes.tree(process.pid):
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _save(place: Path, scratch: Scratch) -> collect.Saved:
    assert scratch.save_to is not None  # noqa: S101
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return collect.save(folder, scratch.save_to, scratch.target, scratch.save)
    finally:
        os.close(folder)
