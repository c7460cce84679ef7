"""Takes memory in many processes, each of them modest; the first one says that all is well."""

import os
import time

import attempt  # noqa: F401 - ends this script outside a sandbox

for _ in range(30):
    if os.fork() == 0:
        hoard = bytearray(b"x" * (20 << 20))
        time.sleep(60)
time.sleep(60)
