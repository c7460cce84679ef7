"""Looks around in /proc for other processes and for secrets of the kernel."""

import os

from attempt import end, read, refused

pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
if len(pids) > 8 or max(pids) > 100:
    print("ESCAPED: sees", pids)
for path in ("/proc/kcore", "/proc/kmsg", "/proc/1/mem", "/dev/kmsg", "/dev/mem"):
    refused(path, read, path)
addresses = (
    {line.split()[0] for line in open("/proc/kallsyms")} if os.path.exists("/proc/kallsyms") else set()
)
if len(addresses) > 1:
    print("ESCAPED: kernel addresses")
end()
