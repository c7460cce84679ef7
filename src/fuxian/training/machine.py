"""Settings of this process that make Paddle's CPU computation several times faster, at no cost in exactness.

They must be made before Paddle is imported.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def prepare(threads: int | None = None) -> None:
    """Keeps freed memory and lets MKL use the processor's vector units.

    Large tensors otherwise come from fresh pages of the operating system each time, and touching these costs up to
    ten times the computation. The MKL that Paddle ships (2019) falls back to 128-bit code on AMD processors unless
    told which code to run.

    Args:
        threads: for matrix products; the number of usable cores if not given, and ``MKL_NUM_THREADS`` overrides.
    """
    if platform.system() != "Linux":
        return
    os.environ.setdefault("MKL_NUM_THREADS", str(threads or len(os.sched_getaffinity(0))))
    path = _mkl_code_path(Path("/proc/cpuinfo"))
    if path is not None:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", path)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _mkl_code_path(cpuinfo: Path) -> str | None:
    """MKL's number for AVX-512 (7) or AVX2 (5) code on an AMD processor; None elsewhere."""
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    if "AuthenticAMD" not in text:
        return None
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    if "avx512f" in flags:
        return "7"
    return "5" if "avx2" in flags else None
