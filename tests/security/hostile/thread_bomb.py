"""Starts threads without end."""

import threading
import time

import attempt  # noqa: F401 - ends this script outside a sandbox

while True:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
