"""What a run ran on: versions, flags, threads, processor, commit. For ``environment.json``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import fuxian
from fuxian.training import numeric_mode

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "numpy", "scipy", "safetensors")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR", "NVIDIA_TF32_OVERRIDE")


def describe() -> dict[str, Any]:
    """A flat dict, ready for JSON. ``device`` is Paddle's; flags are those set in the environment."""
    import paddle

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    flags = {name: value for name, value in os.environ.items() if name.startswith("FLAGS_")}
    return {
        "fuxian": fuxian.__version__,
        "git_commit": git_commit(Path(__file__).parent),
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": paddle.device.get_device(),
        "numeric_mode": numeric_mode.current(),
        **{name: os.environ[name] for name in VARIABLES if name in os.environ},
        "flags": flags,
    }


def git_commit(folder: Path) -> str | None:
    """The commit of the checkout that ``folder`` is in, with ``+changes`` where it differs; None outside of one."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603 - a list of words, none from input
                ["git", "-C", str(folder), *arguments],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
