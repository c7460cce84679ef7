"""Ignores every signal that can be ignored."""

import signal

import attempt  # noqa: F401 - ends this script outside a sandbox

for number in range(1, signal.NSIG):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
while True:
    signal.sigtimedwait([], 1)
