"""Leaves results that nobody may read."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.mkdir("/out/locked")
open("/out/locked/inside", "w").close()
open("/out/closed", "w").close()
os.chmod("/out/closed", 0)
os.chmod("/out/locked", 0)
open("/out/good", "w").write("good")
