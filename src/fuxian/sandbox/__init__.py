"""Runs a command that nobody trusts: isolation, limits, and what held them."""

from fuxian.sandbox.collect import Saved, SaveLimits
from fuxian.sandbox.limits import MIB, Limits
from fuxian.sandbox.mounts import ReadOnly, Scratch, python_runtime
from fuxian.sandbox.outcome import Outcome, readable
from fuxian.sandbox.runner import run

__all__ = [
    "MIB",
    "Limits",
    "Outcome",
    "ReadOnly",
    "SaveLimits",
    "Saved",
    "Scratch",
    "python_runtime",
    "readable",
    "run",
]
