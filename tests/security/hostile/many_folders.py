"""Makes folders in folders without end."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.chdir("/out")
while True:
    os.mkdir("d")
    os.chdir("d")
