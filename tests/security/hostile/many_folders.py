"""Makes folders in folders without end."""

import os

os.chdir("/out")
while True:
    os.mkdir("d")
    os.chdir("d")
