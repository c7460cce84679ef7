"""Looks for what the host keeps in variables and command lines."""

import glob
import os
import sys

from attempt import end

hidden = sys.argv[2][::-1].encode()  # turned round, for it must be in no command line
allowed = {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "PWD", "OMP_NUM_THREADS"}
if set(os.environ) - allowed:
    print("ESCAPED: variables", set(os.environ) - allowed)
for pattern in ("/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline"):
    for name in glob.glob(pattern):
        content = open(name, "rb").read()
        if b"HUNTER" in content or hidden in content:
            print("ESCAPED:", name)
end()
