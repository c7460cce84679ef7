"""Where the interpreter's stack is written to when a framework ends the process."""

from __future__ import annotations

import faulthandler
import os
from pathlib import Path

FAULTS = "FUXIAN_FAULTS"
"""The environment variable that names the file."""


def keep() -> None:
    """Write to the file again, after a framework put in signal handlers of its own."""
    path = os.environ.get(FAULTS)
    if path and Path(path).exists():
        faulthandler.disable()  # Else the handlers are taken to be in place still.
        faulthandler.enable(file=Path(path).open("a"))  # noqa: SIM115 (it stays open until the process ends)
