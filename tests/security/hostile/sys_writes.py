"""Changes the machine through /sys, control groups included."""

import glob
import os

from attempt import end, refused, write

for path in (
    "/sys/devices/system/cpu/cpu0/online",
    "/sys/devices/system/cpu/cpu1/online",
    "/sys/devices/system/cpu/online",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/release_agent",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/kernel/uevent_helper",
):
    refused(path, write, path)
refused("group", os.mkdir, "/sys/fs/cgroup/evil")
for path in glob.glob("/sys/**", recursive=True)[:3000]:
    if os.path.isfile(path) and os.access(path, os.W_OK):
        print("ESCAPED: may write", path)
end()
