"""Leaves a result two hundred folders down."""

import os

os.chdir("/out")
for _ in range(200):
    os.mkdir("d")
    os.chdir("d")
open("deep", "w").close()
open("/out/good", "w").write("good")
