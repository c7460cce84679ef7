"""Verdict: measurements of a claim, and the ruling on them. Neither framework takes part."""

from fuxian.verdict.measurements import (
    LARGEST,
    Measurements,
    Run,
    measured_run,
    read_measurements,
    write_measurements,
)
from fuxian.verdict.ruling import Bounds, Verdict, Word, changed, rule, smoke

__all__ = [
    "LARGEST",
    "Bounds",
    "Measurements",
    "Run",
    "Verdict",
    "Word",
    "changed",
    "measured_run",
    "read_measurements",
    "rule",
    "smoke",
    "write_measurements",
]
