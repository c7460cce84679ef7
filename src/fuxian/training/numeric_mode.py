"""The numeric mode of a training: fast on this processor, or the same bits on every one of its maker.

Matrix products take the code that suits the processor, and float32 then differs in its last digits, which a training
soon amplifies. In the portable mode MKL takes one code path for all processors, on one thread. What is left is Paddle's
square root of float32 (batch and layer normalisation, Adam), which refines an approximation that the processor gives
(``rsqrtps``): makers have tables of their own for it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fuxian.errors import PlatformError

Mode = Literal["fast", "portable"]
PORTABLE = {"MKL_CBWR": "COMPATIBLE", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Variables of the environment that make the portable mode, to be set before Paddle is imported."""
OVERRULES = "MKL_DEBUG_CPU_TYPE"
"""On an AMD processor it chooses MKL's code path whatever ``MKL_CBWR`` says."""
DECIDING = (
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    OVERRULES,
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
)
"""Variables of the environment that bits depend on: a log of the fast mode names those that were set."""
_VALUE = re.compile(r"[A-Za-z0-9_,.]{1,20}")


def maker() -> str:
    """Who made this processor, as it says itself (GenuineIntel, AuthenticAMD); else its kind (aarch64)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    said = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(said, "") or platform.machine()


def deciding(environment: Mapping[str, Any]) -> dict[str, str]:
    """Those of the variables that bits depend on; what is no plain word is left out, as a log may say anything."""
    return {
        name: value
        for name in DECIDING
        if isinstance(value := environment.get(name), str) and _VALUE.fullmatch(value)
    }


def current() -> Mode:
    """The mode of this process, from its environment."""
    same = all(os.environ.get(name) == value for name, value in PORTABLE.items())
    return "portable" if same and OVERRULES not in os.environ else "fast"


def make_portable() -> None:
    """Puts this process into the portable mode. Raises PlatformError where Paddle already runs in the other one."""
    if current() == "portable":
        return
    if "paddle" in sys.modules:
        settings = " ".join(f"{name}={value}" for name, value in PORTABLE.items())
        raise PlatformError(
            f"Paddle is already loaded in the fast mode; start the process with {settings}, or call"
            " fuxian.training.numeric_mode.make_portable() before Paddle is imported."
        )
    os.environ.update(PORTABLE)
    os.environ.pop(OVERRULES, None)


def follow(run: Path) -> None:
    """Puts this process into the mode that a run folder's config.json was started in."""
    try:
        portable = json.loads((run / "config.json").read_text())["numeric_mode"] == "portable"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # whoever reads the plan says what is wrong with it
    if portable:
        make_portable()
