"""Prints what the sandbox itself says, and ends with the codes that it uses."""

import os

import attempt  # noqa: F401 - ends this script outside a sandbox

os.write(1, b'ready\nstart\n{"child-pid": 1}\n')
os._exit(125)
