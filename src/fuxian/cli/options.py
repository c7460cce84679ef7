"""Options and small helpers that several commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fuxian.json_files import json_text

EXIT_CODES = {"accepted": 0, "smoke": 0, "changed": 0, "rejected": 1, "inconclusive": 3}

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Runs = Annotated[
    Path, typer.Option("--out", envvar="FUXIAN_RUNS", help="Folder that run folders are made in.")
]


def complete_claim(incomplete: str) -> list[str]:
    """For the shell: the claims of Fuxian's own papers that begin so."""
    from fuxian.papers.find import reproduced_papers

    names = (f"{one.paper.id}/{claim.id}" for one in reproduced_papers() for claim in one.paper.claims)
    return [name for name in names if name.startswith(incomplete)]


def complete_dataset(incomplete: str) -> list[str]:
    """For the shell: the data sets whose names begin so."""
    from fuxian.datasets.catalogue import CATALOGUE

    return [name for name in sorted(CATALOGUE) if name.startswith(incomplete)]


PaperClaim = Annotated[
    str,
    typer.Argument(
        metavar="PAPER[/CLAIM]", help="As `fuxian papers` lists them.", autocompletion=complete_claim
    ),
]


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


_held: list[str] | None = None
_kept: int | None = None


def print_json(document: Any) -> None:
    """The one document of a command run with ``--json``."""
    text = json_text(document) + "\n"
    if _held is None:
        sys.stdout.write(text)
    else:
        _held.append(text)


def print_json_line(document: Any) -> None:
    """One of several documents, at once and on one line: from a command that goes on."""
    line = json.dumps(json.loads(json_text(document)), ensure_ascii=False) + "\n"
    if _kept is None:
        sys.stdout.write(line)
        sys.stdout.flush()
    else:
        os.write(_kept, line.encode())


@contextmanager
def stdout_for_json_alone() -> Iterator[None]:
    """While open, all that is printed goes to stderr, by a user's recipe too; documents follow at the end."""
    global _held, _kept  # noqa: PLW0603
    sys.stdout.flush()
    kept, _held = os.dup(1), []
    _kept = kept
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        documents, _held, _kept = _held, None, None
        sys.stderr.flush()
        os.dup2(kept, 1)
        os.close(kept)
        sys.stdout.write("".join(documents))
        sys.stdout.flush()
