"""Sets the clock (to what it says already)."""

import ctypes
import time

from attempt import X86, call, end, refused

refused("clock_settime", time.clock_settime, time.CLOCK_REALTIME, time.time())
moment = (ctypes.c_long * 2)(int(time.time()), 0)
refused("settimeofday", call, 164 if X86 else 170, moment, None)
refused("adjtimex", call, 159 if X86 else 171, (ctypes.c_long * 64)())
refused("clock_adjtime", call, 305 if X86 else 266, 0, (ctypes.c_long * 64)())
end()
