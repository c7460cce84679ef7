"""Calls the kernel by numbers of another machine type, for which a filter may not be made."""

import platform

from attempt import call

if platform.machine() == "x86_64":
    call(0x40000000 + 39)  # getpid of x32
    print("ESCAPED: x32")
else:
    raise SystemExit(1)
