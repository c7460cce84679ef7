"""Reads a figure from what a command printed, with a regular expression that nobody trusts.

A regular expression can take exponential time on a short text, and Python's cannot be stopped from within. So the
pattern is bounded in length, is searched in bounded lines, and runs in a process of its own that is killed after
``SECONDS``: the caller gets a figure or one sentence, never a hang.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

from fuxian.errors import InputError

LONGEST_PATTERN = 300
LONGEST_LINE = 2000
MOST_LINES = 20_000
SECONDS = 3.0
_WORKER = Path(__file__).with_name("pattern_worker.py")


def check_pattern(pattern: str) -> str:
    """The pattern itself, if it can serve. Raises ValueError with what to mend."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"the pattern has {len(pattern)} characters; {LONGEST_PATTERN} are enough")
    try:
        groups = list(re.compile(pattern).groupindex)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"this is no regular expression ({error}); mend it") from error
    if len(groups) != 1:
        raise ValueError(
            f"the pattern has {len(groups)} named groups; name the figure alone, as in (?P<accuracy>...)"
        )
    return pattern


def read_figure(pattern: str, output: str, scale: float = 1.0) -> float:
    """The figure of the last line of ``output`` that matches, times ``scale``; NaN where it is not finite.

    Raises InputError where no line matches, the match is no number, or the search takes longer than ``SECONDS``.
    """
    lines = [line[:LONGEST_LINE] for line in output.splitlines()[-MOST_LINES:]]
    request = json.dumps({"pattern": pattern, "lines": lines})
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", str(_WORKER)],
            input=request,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"the metric's pattern {pattern!r} took more than {SECONDS:.0f} s to search; write it without repeats"
            " inside repeats."
        ) from error
    if done.returncode != 0:
        raise InputError(f"the metric's pattern {pattern!r} could not be searched; write a simpler one.")
    found = json.loads(done.stdout)
    if found is None:
        raise InputError(
            f"no line of the output matches the metric's pattern {pattern!r}; mend one of the two."
        )
    try:
        figure = float(found) * scale
    except ValueError as error:
        raise InputError(
            f"the metric's pattern found {found[:60]!r}, which is no number; mend it."
        ) from error
    return figure if math.isfinite(figure) else math.nan
