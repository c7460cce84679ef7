"""Takes memory that belongs to no process in particular."""

import mmap

import attempt  # noqa: F401 - ends this script outside a sandbox

hoard = []
while True:
    hoard.append(mmap.mmap(-1, 4 << 20))
    hoard[-1].write(b"x" * (4 << 20))
