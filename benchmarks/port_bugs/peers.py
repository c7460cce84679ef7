"""The peers that are measured beside Fuxian, installed apart from everything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "peers"
PACKAGES = ("padiff==0.2.0", "reprod_log==1.0.1", "pyyaml>=6")


def installed() -> Path:
    """The folder that holds them, for PYTHONPATH; downloads them the first time."""
    if not (FOLDER / "padiff").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(FOLDER)]
        subprocess.run([*command, *PACKAGES], check=True, stdout=sys.stderr)
    return FOLDER
