"""What the hostile scripts share: try something, and say whether it was refused or ESCAPED."""

import ctypes
import errno
import platform

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


def write(path, text="1"):
    with open(path, "r+") as file:
        file.write(text)
        file.flush()
    return "written"


def create(path):
    with open(path, "w") as file:
        file.write("evil")
    return "created"


def read(path):
    with open(path, "rb") as file:
        return file.read(64)


def end():
    print("END OF ATTACK")
