"""Calls the kernel in the 32-bit way, by machine code of its own."""

import ctypes
import mmap
import platform

import attempt  # noqa: F401 - ends this script outside a sandbox

if platform.machine() != "x86_64":
    raise SystemExit(1)
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("ESCAPED: int 0x80")
