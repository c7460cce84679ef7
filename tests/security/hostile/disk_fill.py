"""Fills /tmp."""

import attempt  # noqa: F401 - ends this script outside a sandbox

block = b"x" * (1 << 20)
with open("/tmp/big", "wb") as file:
    while True:
        file.write(block)
