"""Parses what nobody trusts in a process of its own, within limits of time and memory.

A parser may be slow, greedy or wrong for bytes that were made for it. ``parsed(function, ...)`` runs a function of
Fuxian's in a long-lived child process and gives back what it returns; where it takes too long, asks for too much
memory, fails or takes the process down, Malformed is raised and the caller goes on unharmed.
"""

from fuxian.untrusted.answer import Arrays
from fuxian.untrusted.parent import MIB, parsed

__all__ = ["MIB", "Arrays", "parsed"]
