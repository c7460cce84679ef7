"""Settings of this process that make Paddle's CPU computation several times faster, at no cost in exactness.

They must be made before Paddle is imported.
"""

from __future__ import annotations

import ctypes
import os
import platform
import warnings
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def prepare() -> None:
    """Keeps freed memory and lets MKL use the processor's vector units.

    Large tensors otherwise come from fresh pages of the operating system each time, and touching these costs up to
    ten times the computation. The MKL that Paddle ships (2019) falls back to 128-bit code on AMD processors unless
    told which code to run.

    Matrix products run on one thread unless ``MKL_NUM_THREADS`` says otherwise: a result then does not depend on how
    many cores a machine has. Which code to run is left alone where ``MKL_CBWR`` asks for a portable one.
    """
    # Paddle says at each import that ccache is absent, which concerns only those who compile operators, and at every
    # batch norm in training mode that it tracks statistics.
    for message in ("No ccache found", "When training, we now always track"):
        warnings.filterwarnings("ignore", message=message)
    if platform.system() != "Linux":
        return
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    path = _mkl_code_path(Path("/proc/cpuinfo"))
    if path is not None and "MKL_CBWR" not in os.environ:
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
