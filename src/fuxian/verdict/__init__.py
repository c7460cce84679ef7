"""Verdict: measurements of a claim, and the ruling on them. Neither framework takes part."""

from fuxian.verdict.e_value import EValues, e_values
from fuxian.verdict.measurements import (
    LARGEST,
    Measurements,
    Run,
    measured_run,
    read_measurements,
    write_measurements,
)
from fuxian.verdict.power import Plan, planned
from fuxian.verdict.ruling import ALPHA, Verdict, Word, changed, rule, smoke
from fuxian.verdict.sample import Bounds

__all__ = [
    "ALPHA",
    "LARGEST",
    "Bounds",
    "EValues",
    "Measurements",
    "Plan",
    "Run",
    "Verdict",
    "Word",
    "changed",
    "e_values",
    "measured_run",
    "planned",
    "read_measurements",
    "rule",
    "smoke",
    "write_measurements",
]
