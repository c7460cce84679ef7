"""Leaves a daemon behind, with a session of its own, ignoring signals, and ends well."""

import os
import signal
import time

from attempt import end

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        time.sleep(3600)
    os._exit(0)
os.wait()
end()
