"""Leaves files that are none: pipes, sockets, devices."""

import os
import socket
import stat

from attempt import end, refused

os.mkfifo("/out/measurements.json")
line = socket.socket(socket.AF_UNIX)
line.bind("/out/socket")
refused("character device", os.mknod, "/out/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))
refused("block device", os.mknod, "/out/disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
open("/out/good", "w").write("good")
end()
