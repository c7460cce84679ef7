"""How long work tells what it is doing, and how it is stopped: the same for programs, the terminal and a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fuxian.errors import Stopped


@dataclass(frozen=True, kw_only=True)
class Event:
    """One message of work that goes on."""

    step: str
    """What is being done: "train", "test", "align", a step of a verification."""
    command: str
    """Which of several, in words: ``training, seed 1 (2 of 3)``."""
    seconds: float
    """Since the work began."""
    fraction: float | None = None
    """How much of this command is done, 0 to 1; None where that is not known."""
    done: int = 0
    total: int = 0
    """Steps or batches of this command, 0 where that is not known."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """The figures of the last log line, where there is one: loss, ips."""


Listener = Callable[[Event], None]


class Progress:
    """Sends events of one piece of work to a listener and raises Stopped once ``cancel`` is set."""

    def __init__(self, listener: Listener | None = None, cancel: threading.Event | None = None):
        self._listener, self._cancel, self._began = listener, cancel, time.monotonic()

    def __call__(
        self,
        step: str,
        command: str,
        done: int = 0,
        total: int = 0,
        figures: Mapping[str, float] | None = None,
    ) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped(f"cancelled in {command}; what was written so far is kept.", cancelled=True)
        if self._listener is not None:
            self._listener(
                Event(
                    step=step,
                    command=command,
                    seconds=time.monotonic() - self._began,
                    fraction=done / total if total else None,
                    done=done,
                    total=total,
                    figures=figures or {},
                )
            )
