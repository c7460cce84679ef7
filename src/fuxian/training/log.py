"""``log.jsonl`` (one JSON object a line) and scalars for VisualDL and, where it is installed, TensorBoard.

Fields: ``step``, ``loss`` and further losses, ``lr`` (``lr.<name>`` of further optimizers), ``reader_cost`` and
``batch_cost`` (seconds a step), ``ips`` (examples a second); evaluations are lines with ``step`` and ``eval`` (figures
by name). The line of step 0 has ``seed``, ``numeric_mode`` and ``processor``; it and a line for every checkpoint have
``state`` and ``chain`` (see ``chain``).
"""

from __future__ import annotations

import importlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuxian.training.chain import Chain, Link, read_chain
from fuxian.training.exact_roots import fingerprint
from fuxian.training.numeric_mode import Mode, deciding


class TrainingLog:
    """Appends to a run's log; lines of steps after ``start`` (left by a killed process) are dropped first."""

    def __init__(self, folder: Path, start: int):
        self.path = folder / "log.jsonl"
        # A training that begins anew, killed before its first checkpoint, writes the chain's first link again.
        kept = [line for line in read_log(self.path) if start and line["step"] <= start]
        self.chain: Chain | None = read_chain(kept)
        self.link: Link | None = self.chain.links[-1] if self.chain else None
        draft = folder / f".{self.path.name}.draft"
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept))
        draft.replace(self.path)
        self.file = self.path.open("a")
        from visualdl import LogWriter

        self.scalars = [LogWriter(str(folder / "vdl")), *_tensorboard(folder / "tb")]

    def write(self, step: int, figures: dict[str, float], evaluation: dict[str, float] | None = None) -> None:
        line = {"step": step, **figures} | ({"eval": evaluation} if evaluation else {})
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        named = {f"train/{name}": value for name, value in figures.items()}
        named |= {f"eval/{name}": value for name, value in (evaluation or {}).items()}
        for writer in self.scalars:
            for name, value in named.items():
                writer.add_scalar(name, value, step)

    def write_link(self, link: Link, seed: int | None = None, mode: Mode | None = None) -> None:
        """One more link of the chain; the first with the seed, the numeric mode, the fingerprint of the processor's
        approximate roots, and in the fast mode the variables that bits depend on."""
        first: dict[str, Any] = (
            {} if mode is None else {"seed": seed, "numeric_mode": mode, "roots": fingerprint()}
        )
        if mode == "fast":
            first["variables"] = deciding(os.environ)
        self.file.write(json.dumps({"step": link.step, **first, **link.as_dict()}) + "\n")
        self.file.flush()
        self.link = link

    def sync(self) -> None:
        """The log reaches the disk before the checkpoint that follows it."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()
        for writer in self.scalars:
            writer.close()


def _tensorboard(folder: Path) -> list[Any]:
    """A writer of TensorBoard's files, from the package that is installed; none where neither is."""
    for package, name in (("tensorboard.summary", "Writer"), ("tensorboardX", "SummaryWriter")):
        with suppress(ImportError):
            return [getattr(importlib.import_module(package), name)(str(folder))]
    return []


def read_log(path: Path) -> list[dict]:
    """The log's lines; a last line torn by a killed process is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
