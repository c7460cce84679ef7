"""Closes its output and goes on, so that who waits for the end of the output is misled."""

import os
import time

import attempt  # noqa: F401 - ends this script outside a sandbox

for number in range(3):
    os.close(number)
while True:
    time.sleep(1)
