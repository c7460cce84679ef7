"""What an entrant is shown of the output of their own commands: the end of it, and nothing that could leak data."""

from __future__ import annotations

import re

import re2

from fuxian.sandbox import readable

MOST_LINES = 40
MOST_CHARACTERS = 4000
LONGEST_LINE = 200
MOST_NUMBERS = 12
_BLOB = re2.compile(r"[A-Za-z0-9+/_=-]{65,}")
_OF_PADDLE = re.compile(
    r"WARNING: OMP_NUM_THREADS set to \d+, not 1\..*\nPLEASE USE OMP_NUM_THREADS WISELY\.\n?"
)
"""Each import of Paddle says it, for the sandbox sets that variable."""
# RE2: a number can be cut into numbers in many ways, and other engines try them all.
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBERS = re2.compile(rf"(?:{_NUMBER}[\s,;\[\]()]+){{{MOST_NUMBERS},}}(?:{_NUMBER})?")


def shown(output: bytes) -> str:
    """The last lines, short and printable. Long runs of numbers or letters, in which test data could travel, are
    replaced by how long they were.
    """
    text = readable(output[-20 * MOST_CHARACTERS :])
    text = _OF_PADDLE.sub("", text)
    text = _NUMBERS.sub(lambda found: f"[{len(found.group().split())} numbers] ", text)
    text = _BLOB.sub(lambda found: f"[{len(found.group())} characters]", text)
    lines = [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} [...]" for line in text.splitlines()
    ]
    return "\n".join(lines[-MOST_LINES:])[-MOST_CHARACTERS:]
