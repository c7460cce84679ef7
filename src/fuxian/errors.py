"""The two ways a command may fail that are not a defect of Fuxian.

Exit codes are the design's: 0 done or accepted, 1 rejected or diverged, 2 bad input, 3 inconclusive,
4 the platform's own failure.
"""


class InputError(Exception):
    """Bad input, in one sentence: what was wrong, where, and what to do. The command exits with 2."""


class PlatformError(Exception):
    """This machine cannot do what was asked, in one sentence with the mend. The command exits with 4."""
