"""Overwrites programs, the interpreter, the data, the scripts and the program that holds it."""

import os
import sys
import sysconfig

from attempt import create, end, refused, write

for path in (
    "/usr/bin/env",
    "/bin/sh",
    "/etc/passwd",
    "/etc/hosts",
    "/data/labels",
    __file__,
    sys.executable,
    "/proc/1/exe",
    "/proc/self/exe",
):
    refused(path, write, path)
    refused(f"unlink {path}", os.unlink, path)
for folder in (sysconfig.get_path("purelib"), "/usr/lib", "/usr/bin", "/data", os.path.dirname(__file__)):
    refused(folder, create, os.path.join(folder, "evil.py"))
    refused(f"move {folder}", os.rename, folder, "/tmp/moved")
    refused(f"chmod {folder}", os.chmod, folder, 0o777)
end()
