"""Leaves daemons that keep forking, and never ends."""

import os
import time

import attempt  # noqa: F401 - ends this script outside a sandbox

for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                if os.fork():
                    os._exit(0)
                time.sleep(0.01)
        os._exit(0)
while True:
    time.sleep(1)
