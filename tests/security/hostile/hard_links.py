"""Leaves one file under a thousand names: small here, a thousand times as large once copied."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

with open("/out/0", "wb") as file:
    file.write(b"x" * (1 << 20))
for number in range(1, 1000):
    os.link("/out/0", f"/out/{number}")
