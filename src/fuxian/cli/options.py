"""Options and small helpers that several commands share."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

EXIT_CODES = {"accepted": 0, "smoke": 0, "rejected": 1, "inconclusive": 3}

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Runs = Annotated[
    Path, typer.Option("--out", envvar="FUXIAN_RUNS", help="Folder that run folders are made in.")
]
PaperClaim = Annotated[str, typer.Argument(metavar="PAPER[/CLAIM]", help="As `fuxian papers` lists them.")]


class Device(StrEnum):
    cpu = "cpu"
    gpu = "gpu"


class Language(StrEnum):
    en = "en"
    zh = "zh"


DeviceOption = Annotated[Device, typer.Option("--device", help="Where Paddle computes.")]
LanguageOption = Annotated[Language, typer.Option("--lang", help="Language of tables and report.")]


def set_device(device: Device) -> None:
    """Chooses Paddle's device. Raises InputError where this Paddle or machine has no GPU."""
    import paddle

    from fuxian.errors import InputError

    if device is Device.gpu and not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        raise InputError(
            "--device gpu: this Paddle sees no GPU; install paddlepaddle-gpu, or use --device cpu."
        )
    paddle.set_device(device.value)


def print_json(document: Any) -> None:
    """The one document of a command run with ``--json``."""
    json.dump(document, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")
