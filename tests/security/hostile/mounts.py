"""Mounts, unmounts and changes its root, by the old calls and the new ones."""

import ctypes
import os

from attempt import X86, call, end, refused

MOUNT, UMOUNT2, PIVOT_ROOT, CHROOT = (165, 166, 155, 161) if X86 else (40, 39, 41, 51)
text = ctypes.c_char_p
MS_BIND, MS_REMOUNT = 4096, 32
os.mkdir("/tmp/m")
for kind in (b"tmpfs", b"proc", b"sysfs", b"cgroup2", b"devtmpfs", b"overlay", b"ext4"):
    refused(kind.decode(), call, MOUNT, text(b"none"), text(b"/tmp/m"), text(kind), 0, None)
refused("bind", call, MOUNT, text(b"/proc"), text(b"/tmp/m"), None, MS_BIND, None)
refused("remount /usr", call, MOUNT, None, text(b"/usr"), None, MS_REMOUNT | MS_BIND, None)
refused("remount /", call, MOUNT, None, text(b"/"), None, MS_REMOUNT | MS_BIND, None)
refused("umount /usr", call, UMOUNT2, text(b"/usr"), 2)
refused("umount /proc/sys", call, UMOUNT2, text(b"/proc/sys"), 2)
refused("chroot", call, CHROOT, text(b"/tmp"))
refused("pivot_root", call, PIVOT_ROOT, text(b"/tmp"), text(b"/tmp/m"))
refused("open_tree", call, 428, -100, text(b"/usr"), 1)
refused("fsopen", call, 430, text(b"tmpfs"), 0)
refused("fspick", call, 433, -100, text(b"/"), 0)
refused("mount_setattr", call, 442, -100, text(b"/usr"), 0, None, 0)
end()
