"""``log.jsonl`` (one JSON object a line) and VisualDL scalars of a training.

Fields: ``step``, ``loss`` and further losses, ``lr`` (``lr.<name>`` of further optimizers), ``reader_cost`` and
``batch_cost`` (seconds a step), ``ips`` (examples a second); evaluations are lines with ``step`` and ``eval`` (figures
by name).
"""

from __future__ import annotations

import json
import os
from pathlib import Path


class TrainingLog:
    """Appends to a run's log; lines of steps after ``start`` (left by a killed process) are dropped first."""

    def __init__(self, folder: Path, start: int):
        self.path = folder / "log.jsonl"
        kept = [line for line in read_log(self.path) if line["step"] <= start]
        draft = folder / f".{self.path.name}.draft"
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept))
        draft.replace(self.path)
        self.file = self.path.open("a")
        from visualdl import LogWriter

        self.scalars = LogWriter(str(folder / "vdl"))

    def write(self, step: int, figures: dict[str, float], evaluation: dict[str, float] | None = None) -> None:
        line = {"step": step, **figures} | ({"eval": evaluation} if evaluation else {})
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for name, value in figures.items():
            self.scalars.add_scalar(f"train/{name}", value, step)
        for name, value in (evaluation or {}).items():
            self.scalars.add_scalar(f"eval/{name}", value, step)

    def sync(self) -> None:
        """The log reaches the disk before the checkpoint that follows it."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()
        self.scalars.close()


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
