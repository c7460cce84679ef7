"""Starts several processes of this machine under Paddle's launcher, and ends them all when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fuxian.errors import InputError
from fuxian.temporary import temporary_folder

FAILED = "failed.txt"
"""In the folder of logs: what the first process that failed said."""
_TICK = 0.2


def launch(
    script: str,
    arguments: list[str],
    processes: int,
    *,
    logs: Path,
    device: str,
    tick: Callable[[], None],
) -> str | None:
    """Runs the text of a Python script in ``processes`` processes, until all have ended.

    Returns None, or what the first process that failed said (``failing`` notes it). ``tick`` is called a few times a
    second, and may raise to end them. What they print is kept in ``logs``.
    """
    failed = logs / FAILED
    failed.unlink(missing_ok=True)
    share = (
        ["--nproc_per_node", str(processes)]
        if device == "cpu"
        else ["--devices", ",".join(map(str, range(processes)))]
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PADDLE_")}
    with temporary_folder("launch") as folder:
        file = folder / "script.py"
        file.write_text(script)
        command = [sys.executable, "-m", "paddle.distributed.launch", *share, "--log_dir", str(logs)]
        launched = subprocess.Popen(  # noqa: S603 - a list of words
            [*command, str(file), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while launched.poll() is None:
                tick()
                time.sleep(_TICK)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(launched.pid, signal.SIGKILL)
            launched.wait()
    if not launched.returncode:
        return None
    if failed.is_file():
        return failed.read_text(encoding="utf-8").rstrip(".")
    return f"none of them says why{_last_words(logs)}"


def _last_words(logs: Path) -> str:
    """The last line that one of the processes printed."""
    for log in sorted(logs.glob("workerlog.*")):
        lines = [
            line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        if lines:
            return f"; the last line of {log.name} is: {lines[-1].strip()}"
    return ""


def failing(logs: Path, run: Callable[[], None]) -> None:
    """Runs one process's part; where that fails, says why in ``logs`` and ends with 2."""
    try:
        run()
    except Exception as error:
        traceback.print_exc()
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        # What the others say follows from the first that failed.
        with suppress(FileExistsError), (logs / FAILED).open("x", encoding="utf-8") as file:
            file.write(said)
        # Not sys.exit: the other processes may wait for this one for ever, and the launcher ends them when it is gone.
        os._exit(2)
