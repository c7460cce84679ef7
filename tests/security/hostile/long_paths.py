"""Leaves results with paths longer than any tool takes."""

import os

os.chdir("/out")
for _ in range(20):
    os.mkdir("n" * 250)
    os.chdir("n" * 250)
open("long", "w").close()
open("/out/good", "w").write("good")
