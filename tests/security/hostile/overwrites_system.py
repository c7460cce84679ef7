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
    if not path.startswith("/proc/"):
        # To its own name: changes nothing where it succeeds, and is refused where a removal is.
        refused(f"rename {path}", os.rename, path, path)
for folder in (sysconfig.get_path("purelib"), "/usr/lib", "/usr/bin", "/data", os.path.dirname(__file__)):
    refused(folder, create, os.path.join(folder, "evil.py"))
    refused(f"rename {folder}", os.rename, folder, folder)
    refused(f"chmod {folder}", os.chmod, folder, os.stat(folder).st_mode & 0o777)
end()
