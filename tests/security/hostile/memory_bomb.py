"""Takes memory without end."""

import attempt  # noqa: F401 - ends this script outside a sandbox

hoard = []
while True:
    hoard.append(bytearray(1 << 20))
