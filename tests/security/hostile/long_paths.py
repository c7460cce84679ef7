"""Leaves results with paths longer than any tool takes."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.chdir("/out")
for _ in range(20):
    os.mkdir("n" * 250)
    os.chdir("n" * 250)
open("long", "w").close()
open("/out/good", "w").write("good")
