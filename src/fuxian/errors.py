"""The ways a command may fail that are not a defect of Fuxian.

Exit codes are the design's: 0 done or accepted, 1 rejected or diverged, 2 bad input, 3 inconclusive,
4 the platform's own failure.
"""


class InputError(Exception):
    """Bad input, in one sentence: what was wrong, where, and what to do. The command exits with 2."""


class Malformed(InputError):
    """Bytes that an entrant wrote are not what they should be: they cannot be parsed, or not within the limits.

    A self-check is bad input by it; a ruling rejects.
    """


class Stopped(Exception):
    """Work ended before it was done: ``cancelled`` by who asked for it, or out of the time that it was given."""

    def __init__(self, sentence: str, *, cancelled: bool) -> None:
        super().__init__(sentence)
        self.cancelled = cancelled


class PlatformError(Exception):
    """This machine cannot do what was asked, in one sentence with the mend. The command exits with 4."""
