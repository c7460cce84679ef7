"""Writes the smallest change of a port's source that makes a diverging stage agree, after running it on a copy."""

from fuxian.align.mend.mend import Mend, mend

__all__ = ["Mend", "mend"]
