"""Lets a child take all the memory and then ends as if nothing had happened."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

if os.fork() == 0:
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * (1 << 20)))
os.wait()
