"""Complains without end."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

while True:
    os.write(2, b"warning\n" * 4096)
