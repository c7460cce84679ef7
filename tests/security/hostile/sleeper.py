"""Waits without end."""

import time

import attempt  # noqa: F401 - ends this script outside a sandbox

time.sleep(3600)
