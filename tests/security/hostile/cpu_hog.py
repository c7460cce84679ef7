"""Computes in several processes at once, to use up CPU time faster than the clock runs."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.fork()
os.fork()
while True:
    pass
