"""Runs a program of this machine, such as git or pip, within limits and within the deadline of the work in hand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fuxian import deadline

_TICK = 0.1
_READ = 1 << 16


@dataclass(frozen=True)
class Ran:
    """A program that ended."""

    code: int
    stdout: bytes
    stderr: bytes


class TooLong(Exception):
    """The program did not end in its time, and was ended."""


class TooMuch(Exception):
    """The program printed more than it may, and was ended."""


def run_tool(
    command: Sequence[str],
    *,
    seconds: float,
    env: Mapping[str, str],
    memory: int | None = None,
    file_size: int | None = None,
    most: int = 64 << 20,
) -> Ran:
    """Runs a command, a list of words, and returns what it said.

    ``memory`` and ``file_size`` are bytes that each of its processes may use, and may write into one file; ``most``
    those that it may print on either stream. Raises TooLong, TooMuch, and Stopped where the work was cancelled or is
    out of time; none of its processes is then left.
    """
    limits = [f"--data={memory}"] if memory else []
    limits += [f"--fsize={file_size}"] if file_size else []
    prlimit = shutil.which("prlimit")
    before = [prlimit, *limits, "--"] if prlimit and limits else []
    ends = time.monotonic() + deadline.left(seconds)
    process = subprocess.Popen(  # noqa: S603 - a list of words
        [*before, *command],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None  # noqa: S101
    kept = [bytearray(), bytearray()]
    full = threading.Event()

    def read(stream: int, into: bytearray) -> None:
        while data := os.read(stream, _READ):
            if len(into) + len(data) > most:
                full.set()
                return
            into += data

    readers = [
        threading.Thread(target=read, args=(stream.fileno(), into), daemon=True)
        for stream, into in zip((process.stdout, process.stderr), kept, strict=True)
    ]
    for reader in readers:
        reader.start()
    try:
        while any(reader.is_alive() for reader in readers) or process.poll() is None:
            deadline.check()
            if full.is_set():
                raise TooMuch
            if time.monotonic() >= ends:
                raise TooLong
            next((one for one in readers if one.is_alive()), readers[0]).join(_TICK)
            if not any(reader.is_alive() for reader in readers):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK)
        if full.is_set():
            raise TooMuch
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in readers:
            reader.join(1)
        process.stdout.close()
        process.stderr.close()
    return Ran(process.returncode, bytes(kept[0]), bytes(kept[1]))
