"""Writes wherever else a file could be put."""

import os

from attempt import create, end, refused

for folder in (
    "/",
    "/dev",
    "/dev/pts",
    "/etc",
    "/run",
    "/sys",
    "/proc",
    "/usr",
    "/usr/bin",
    "/var",
    "/home",
    "/hostile",
):
    refused(folder, create, os.path.join(folder, "evil"))
end()
