"""Prints without end."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

while True:
    os.write(1, b"loss 0.001\n" * 4096)
