"""Runs a command in a child process, because a framework may end the process it runs in."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fuxian.align.faults import FAULTS
from fuxian.align.tracing import of_a_library

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def run_apart(run: Callable[[], int]) -> tuple[int, str]:
    """The exit code of ``run()`` in a child process, and a sentence where the child was ended by a signal.

    To be called before a framework is imported: their threads do not survive a fork. Where there is no fork, ``run``
    runs here.
    """
    if not hasattr(os, "fork"):
        return run(), ""
    with tempfile.TemporaryDirectory(prefix="fuxian-apart-") as folder:
        trace = Path(folder) / "trace"
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            code = 4
            try:
                os.environ[FAULTS] = str(trace)
                with trace.open("w") as file:
                    faulthandler.enable(file=file)
                    code = run()
                    sys.stdout.flush()
                    sys.stderr.flush()
            finally:
                os._exit(code)
        try:
            _, status = os.waitpid(child, 0)
        except KeyboardInterrupt:
            _, status = os.waitpid(child, 0)
            return 130, "" if os.WIFEXITED(status) else "interrupted."
        if os.WIFSIGNALED(status):
            return 4, _sentence(os.WTERMSIG(status), trace.read_text(encoding="utf-8", errors="replace"))
        return os.WEXITSTATUS(status), ""


def _sentence(number: int, trace: str) -> str:
    """What a dump of the interpreter's stack tells of the end: the innermost line of the user's, the framework."""
    name = signal.Signals(number).name
    frames = _FRAME.findall(trace.partition("Current thread")[2] or trace)
    framework = next(
        (word for word in ("paddle", "torch") if any(f"/{word}/" in file for file, _ in frames)), ""
    )
    own = next((f"{file}:{line}" for file, line in frames if not of_a_library(file)), "")
    doing = (
        "in a backward pass"
        if any("backward" in line for line in trace.splitlines()[:12])
        else "while it ran"
    )
    who = {"paddle": "Paddle", "torch": "PyTorch"}.get(framework, "a framework")
    where = f"{doing} the code at {own}" if own and doing == "while it ran" else doing
    memory = "; it may have run out of memory" if name == "SIGKILL" else ""
    return (
        f"{who} ended the process ({name}) {where}{memory}: run that part alone, with smaller inputs, or leave out its"
        " stage with --stages."
    )
