"""Ctrl-C during a training: the step is finished and a checkpoint written, then it takes effect."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Yields whether Ctrl-C was pressed since; a second one raises KeyboardInterrupt at once.

    Where a program has its own handler, or in another thread than the main one, Ctrl-C keeps what it does.
    """
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        print(
            "\nStopping after this step, with a checkpoint. Ctrl-C again stops at once.",
            file=sys.stderr,
            flush=True,
        )

    before = signal.getsignal(signal.SIGINT)
    own = threading.current_thread() is threading.main_thread() and before is signal.default_int_handler
    if own:
        signal.signal(signal.SIGINT, press)
    try:
        yield lambda: pressed
    finally:
        if own:
            signal.signal(signal.SIGINT, before)
