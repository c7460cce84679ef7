"""Takes over other processes: the one that holds the sandbox has the same user."""

import os

from attempt import X86, call, end, read, refused, write

PTRACE, READV, WRITEV = (101, 310, 311) if X86 else (117, 270, 271)
ATTACH, SEIZE, TRACEME = 16, 0x4206, 0
refused("attach to 1", call, PTRACE, ATTACH, 1, 0, 0)
refused("seize 1", call, PTRACE, SEIZE, 1, 0, 0)
refused("traceme", call, PTRACE, TRACEME, 0, 0, 0)
refused("readv", call, READV, 1, None, 0, None, 0, 0)
refused("writev", call, WRITEV, 1, None, 0, None, 0, 0)
refused("pidfd_getfd", call, 438, os.pidfd_open(1), 1, 0)
refused("kcmp", call, 312 if X86 else 272, 1, os.getpid(), 0, 0, 0)
refused("memory of 1", write, "/proc/1/mem")
refused("memory of 1", read, "/proc/1/mem")
end()
