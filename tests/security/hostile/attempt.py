"""What the hostile scripts share: try something, and say whether it was refused or ESCAPED.

Every script imports this first: outside a sandbox it ends them at once. And what they try is chosen so that
little harm is done where a sandbox fails: a file is overwritten with what it holds already, for example.
"""

import ctypes
import errno
import os
import platform
from pathlib import Path

if Path("/proc/1/comm").read_text() != "bwrap\n" or os.getuid() == 0:
    raise SystemExit("ESCAPED: this script runs in a sandbox only.")

_libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"


def refused(what, action, *arguments):
    try:
        result = action(*arguments)
    except OSError as error:
        print(f"refused {what}: {errno.errorcode.get(error.errno, error.errno)}")
    else:
        print(f"ESCAPED {what}: {result!r}")


def call(number, *arguments):
    """A bare system call by number; raises OSError as the kernel says."""
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), "system call")
    return result


def write(path, content=None):
    """Writes `content`, or what is there already where it can be read."""
    with open(path, "r+b", buffering=0) as file:
        if content is None:
            content = file.read(1 << 12)
            file.seek(0)
        file.write(content)
    return "written"


def open_to_write(path):
    os.close(os.open(path, os.O_WRONLY))
    return "opened"


def create(path):
    with open(path, "x") as file:
        file.write("evil")
    os.unlink(path)
    return "created"


def read(path):
    with open(path, "rb") as file:
        return file.read(64)


def end():
    print("END OF ATTACK")
