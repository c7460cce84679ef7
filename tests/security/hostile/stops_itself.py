"""Stops itself, so that it neither runs nor ends."""

import os
import signal

import attempt  # noqa: F401 - ends this script outside a sandbox

os.kill(os.getpid(), signal.SIGSTOP)
