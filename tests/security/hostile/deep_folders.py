"""Leaves a result two hundred folders down."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.chdir("/out")
for _ in range(200):
    os.mkdir("d")
    os.chdir("d")
open("deep", "w").close()
open("/out/good", "w").write("good")
