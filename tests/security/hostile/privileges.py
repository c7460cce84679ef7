"""Becomes root: by calls, by a setuid program of its own, by those of the system, by capabilities."""

import ctypes
import os
import shutil
import subprocess

from attempt import X86, call, end, refused

for action in (os.setuid, os.setgid, os.seteuid, os.setegid):
    refused(action.__name__, action, 0)
refused("setgroups", os.setgroups, [0])
shutil.copy("/bin/sh", "/tmp/sh")
os.chmod("/tmp/sh", 0o6755)
refused("chown", os.chown, "/tmp/sh", 0, 0)
print(subprocess.run(["/tmp/sh", "-p", "-c", "id -u; id -ru"], capture_output=True, text=True).stdout)
for program in (["su", "-c", "id"], ["mount", "-t", "tmpfs", "none", "/tmp"], ["passwd", "-d", "root"]):
    if (
        shutil.which(program[0])
        and subprocess.run(program, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    ):
        print("ESCAPED:", program)
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    if int(status[name], 16):
        print("ESCAPED:", name, status[name])
if status["NoNewPrivs"] != "1" or status["Seccomp"] != "2" or "0" in status["Uid"].split():
    print("ESCAPED: not held down")
header, wanted = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
refused("capset", call, 126 if X86 else 91, header, wanted)
refused("nice", os.nice, -20)
refused("real-time", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))
end()
