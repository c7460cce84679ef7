"""The numeric mode of a training: fast on this processor, or the same bits on every one.

Matrix products take the code that suits the processor, and float32 then differs in its last digits, which a training
soon amplifies. In the portable mode MKL takes its AVX2 code on processors of every make, on one thread, and square
roots are exact (``exact_roots``).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fuxian.errors import PlatformError

Mode = Literal["fast", "portable"]
PORTABLE = {
    "MKL_CBWR": "AVX2",
    "MKL_DEBUG_CPU_TYPE": "5",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Variables of the environment that make the portable mode, to be set before Paddle is imported. Intel's processors
heed the first; on others MKL would take its slowest code, but for the second."""
OVERRULES = "MKL_ENABLE_INSTRUCTIONS"
"""It chooses MKL's code path whatever the others say."""
DECIDING = (
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    OVERRULES,
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
)
"""Variables of the environment that bits depend on: a log of the fast mode names those that were set."""
_VALUE = re.compile(r"[A-Za-z0-9_,.]{1,20}")


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
