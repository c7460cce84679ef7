"""Reads files of the host: its secrets, the labels, another submission."""

import glob
import os
import sys

from attempt import end, read, refused

for path in (
    "/etc/shadow",
    "/etc/hostname",
    "/etc/ssh/sshd_config",
    "/root/.bashrc",
    "/root/.ssh",
    "/var/log/dpkg.log",
    *sys.argv[2:],
):
    refused(path, read, path)
    for way in (
        "/proc/1/root",
        "/proc/self/root",
        "/proc/1/cwd",
        "/proc/1/cwd/..",
        "/data/..",
        "/data/../..",
    ):
        refused(way + path, read, way + path)
for folder in ("/home", "/var", "/opt", "/mnt", "/boot", "/srv"):
    refused(folder, os.listdir, folder)
for name in glob.glob("/proc/[0-9]*/environ"):
    if b"HUNTER" in open(name, "rb").read():
        print("ESCAPED", name)
end()
