"""Runs a module of Fuxian's own in another interpreter: for what may end its process, or must not be imported here."""

from __future__ import annotations

import os
import subprocess
import sys

from fuxian.errors import PlatformError


def run_module(
    module: str, *arguments: str, seconds: float, late: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """The ended ``python -m module``, whatever its exit code; with ``--verbose`` its stderr is passed on.

    Raises PlatformError with the sentence ``late`` where it takes longer than ``seconds``.
    """
    # -P: a module that happens to lie in the working directory must not be imported.
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PlatformError(late) from error
    if os.environ.get("FUXIAN_TRACEBACK"):
        sys.stderr.write(child.stderr)
    return child
