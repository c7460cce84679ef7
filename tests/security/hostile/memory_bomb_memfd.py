"""Takes memory in files that have no name and no place."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

block = b"x" * (1 << 20)
hoard = os.memfd_create("hoard")
while True:
    os.write(hoard, block)
