"""The side that asks: starts a child for each thread, sends calls, and gives up on an answer that does not come."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fuxian import deadline
from fuxian.errors import InputError, Malformed, PlatformError
from fuxian.printable import printable
from fuxian.untrusted.answer import Ended, receive_answer, send

MIB = 1 << 20
SECONDS = 20.0
MEMORY = 768 * MIB
MOST_TEXT = 256 * MIB
PATIENCE = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")
_TICK = 0.25
"""Seconds between two looks at whether the work was cancelled."""
# -P: a module that happens to lie in the working directory must not be imported.
_CHILD = ("-P", "-m", "fuxian.untrusted.child")


class _Child:
    """A started process, and the connection to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, *_CHILD, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("FUXIAN_TRACEBACK") else subprocess.DEVNULL,
            )
        self.connection = ours
        self.owner = os.getpid()
        self.end = weakref.finalize(self, _end, self.process, ours, self.owner)

    def cpu_seconds(self) -> float:
        """What it has used so far; 0 where it has ended."""
        try:
            about = Path("/proc", str(self.process.pid), "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        user, system = about.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def usable(self) -> bool:
        return self.end.alive and self.owner == os.getpid() and self.process.poll() is None


def _end(process: subprocess.Popen[bytes], connection: socket.socket, owner: int) -> None:
    connection.close()
    if owner == os.getpid():
        process.kill()
        process.wait()


_of_thread = threading.local()


def parsed(
    function: Callable[..., Any],
    *arguments: Any,
    what: str,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> Any:
    """What ``function(*arguments)`` returns, computed in the child.

    Args:
        function: a function of a module of Fuxian's; it returns what JSON can hold, or Arrays.
        arguments: of types that the standard library or Fuxian defines.
        what: names what is parsed, as the beginning of a sentence.
        seconds, memory: what the call may take, in CPU seconds (a busy machine makes no submission malformed) and in
            bytes beyond what the child has in use. On the clock it may take ``PATIENCE`` times the seconds.

    Raises:
        Malformed: it took longer, needed more, failed, or ended the child.
        InputError, PlatformError: the function raised it.
        Stopped: the work was cancelled, or has no time left.
    """
    call = pickle.dumps((str(Path.cwd()), memory, function, arguments))
    deadline.check()
    limit = seconds
    child = getattr(_of_thread, "child", None)
    if child is None or not child.usable():
        child = _of_thread.child = _Child()
        limit += 5.0  # imports are not the submission's time
    try:
        answer = _ask(child, call, limit, memory)
    except BaseException:
        child.end()
        raise
    if answer is _LATE:
        child.end()
        deadline.check()
        raise Malformed(f"{what}: reading it takes more than {seconds:g} s; make it smaller or simpler.")
    if answer is _DIED:
        how = _how(child.process, memory)
        child.end()
        raise Malformed(f"{what}: reading it {how}; make it smaller or simpler.")
    if answer is _NONE:
        child.end()
        raise Malformed(f"{what}: it holds more than can be read; make it smaller or simpler.")
    if isinstance(answer, tuple):
        kind, sentence = answer[1], printable(answer[2])
        if kind == "memory":
            child.end()
        raise _ERRORS.get(kind, _failed)(what, sentence, memory)
    return answer


_LATE, _DIED, _NONE = object(), object(), object()


def _ask(child: _Child, call: bytes, seconds: float, memory: int) -> Any:
    """The answer; _LATE where none came in time, _DIED where the child ended, _NONE for what is no answer."""
    connection = child.connection
    connection.settimeout(_TICK)
    waiting = _Waiting(child, child.cpu_seconds() + seconds, time.monotonic() + PATIENCE * seconds)
    try:
        send(waiting, call)  # type: ignore[arg-type]
        return receive_answer(waiting, MOST_TEXT, 2 * memory)  # type: ignore[arg-type]
    except TimeoutError:
        return _LATE
    except (Ended, BrokenPipeError, ConnectionResetError):
        return _DIED
    except (ValueError, TypeError, KeyError, RecursionError):
        return _NONE


class _Waiting:
    """A connection that waits until the child has used its CPU seconds or the clock says so, and looks meanwhile
    whether the work was cancelled."""

    def __init__(self, child: _Child, cpu_ends: float, ends: float) -> None:
        self.child = child
        self.connection = child.connection
        self.cpu_ends = cpu_ends
        self.ends = ends

    def sendall(self, content: bytes | memoryview) -> None:
        left = memoryview(content).cast("B")
        while left:
            left = left[self._patiently(partial(self.connection.send, left[:MIB])) :]

    def recv_into(self, view: memoryview) -> int:
        return self._patiently(partial(self.connection.recv_into, view))

    def _patiently(self, act: Callable[[], int]) -> int:
        while True:
            try:
                return act()
            except TimeoutError:
                deadline.check()
                if self.child.cpu_seconds() >= self.cpu_ends or time.monotonic() >= self.ends:
                    raise


def _how(process: subprocess.Popen[bytes], memory: int) -> str:
    try:
        status = process.wait(1)
    except subprocess.TimeoutExpired:
        status = 0
    if status == -signal.SIGKILL:
        return f"needs more memory than there is, or more than {memory // MIB} MiB"
    return "ends the reader" + (f" with {signal.Signals(-status).name}" if status < 0 else "")


def _failed(what: str, sentence: str, memory: int) -> Exception:
    return Malformed(f"{what}: it cannot be read ({sentence}); mend it.")


_ERRORS: dict[str, Callable[[str, str, int], Exception]] = {
    "malformed": lambda what, sentence, memory: Malformed(sentence),
    "input": lambda what, sentence, memory: InputError(sentence),
    "platform": lambda what, sentence, memory: PlatformError(sentence),
    "memory": lambda what, sentence, memory: Malformed(
        f"{what}: reading it takes more than {memory // MIB} MiB of memory; make it smaller."
    ),
    "deep": lambda what, sentence, memory: Malformed(f"{what}: it is nested too deeply; make it flat."),
}
