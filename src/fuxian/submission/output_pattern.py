"""Reads a figure from what a command printed, with a regular expression that nobody trusts.

RE2 takes linear time for every pattern, having neither look-around nor back-references; and the search runs in a
child process on bounded lines, so the caller gets a figure or one sentence, never a hang.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import re2

from fuxian.errors import InputError
from fuxian.untrusted import parsed

LONGEST_PATTERN = 300
LONGEST_LINE = 2000
MOST_LINES = 20_000
SECONDS = 10.0


def compiled(pattern: str) -> Any:
    """The pattern as RE2 has it. Raises ValueError with what to mend."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"the pattern has {len(pattern)} characters; {LONGEST_PATTERN} are enough")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        said = error.args[0] if error.args else ""
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ValueError(
            f"this is no regular expression of RE2, which has no look-around and no back-references ({said[:80]});"
            " mend it"
        ) from error


def check_pattern(pattern: str) -> str:
    """The pattern itself, if it names one figure. Raises ValueError with what to mend."""
    groups = list(compiled(pattern).groupindex)
    if len(groups) != 1:
        raise ValueError(
            f"the pattern has {len(groups)} named groups; name the figure alone, as in (?P<accuracy>...)"
        )
    return pattern


LOG_FIELDS = frozenset({"step", "epoch", "loss", "reader_cost", "batch_cost", "ips", "metric"})


def check_log_pattern(pattern: str) -> str:
    """The pattern itself, if its groups are fields of a log. Raises ValueError with what to mend."""
    groups = set(compiled(pattern).groupindex)
    if not groups or groups - LOG_FIELDS:
        odd = ", ".join(sorted(groups - LOG_FIELDS)) or "none"
        raise ValueError(f"its named groups are fields of a log, {', '.join(sorted(LOG_FIELDS))}, not {odd}")
    return pattern


def read_figure(pattern: str, output: str | Sequence[str], scale: float = 1.0) -> float:
    """The figure of the last line that matches, times ``scale``; NaN where it is not finite.

    Of several outputs (a command's two streams) the first counts in which a line matches. Raises InputError where no
    line does, or the match is no number.
    """
    outputs = [output] if isinstance(output, str) else output
    ends = [[line[:LONGEST_LINE] for line in output.splitlines()[-MOST_LINES:]] for output in outputs]
    found = parsed(_last_match, pattern, ends, what="the metric's pattern", seconds=SECONDS)
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


def _last_match(pattern: str, outputs: list[list[str]]) -> str | None:
    ready = compiled(pattern)
    name = next(iter(ready.groupindex))
    for lines in outputs:
        for line in reversed(lines):
            matches = list(ready.finditer(line))
            if matches and matches[-1].group(name) is not None:
                return str(matches[-1].group(name))
    return None
