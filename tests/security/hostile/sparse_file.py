"""Leaves a result of a terabyte that takes no space here."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

with open("/out/weights", "wb") as file:
    os.truncate(file.fileno(), 1 << 40)
open("/out/good", "w").write("good")
