"""How long the work in hand may still take, and whether it was cancelled: one place that every step of it asks.

Whoever starts long work says ``with within(seconds, cancel):``; whatever runs inside calls ``check()`` between two
pieces of work, and ``left(most)`` for the time that a single piece may take.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from fuxian.errors import Stopped


@dataclass(frozen=True)
class _Deadline:
    ends: float
    seconds: float
    cancel: threading.Event | None


_now: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float | None = None, cancel: threading.Event | None = None) -> Iterator[None]:
    """Gives what runs inside so many seconds at most (None: no limit), ended early where ``cancel`` is set."""
    limit = math.inf if seconds is None else seconds
    token = _now.set(_Deadline(time.monotonic() + limit, limit, cancel))
    try:
        yield
    finally:
        _now.reset(token)


def check() -> None:
    """Raises Stopped where the time is over or the work was cancelled."""
    now = _now.get()
    if now is None:
        return
    if now.cancel is not None and now.cancel.is_set():
        raise Stopped("it was cancelled.", cancelled=True)
    if time.monotonic() >= now.ends:
        raise Stopped(
            f"it took longer than the {now.seconds:.0f} s that it may take in all.", cancelled=False
        )


def left(most: float) -> float:
    """Seconds that the next piece of work may take: ``most``, or less where the whole ends before. Raises Stopped."""
    check()
    now = _now.get()
    return most if now is None else max(0.001, min(most, now.ends - time.monotonic()))


def cancel() -> threading.Event | None:
    """What ends the work early, for a call that takes an event of its own."""
    now = _now.get()
    return None if now is None else now.cancel
