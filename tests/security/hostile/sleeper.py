"""Waits without end."""

import time

time.sleep(3600)
