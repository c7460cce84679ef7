"""JSON as Fuxian writes it everywhere: on stdout of a command with ``--json``, and in the files of a run."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic import BaseModel


def json_text(document: Any, *, indent: int | None = None) -> str:
    """The document as JSON that every reader takes: one line, or indented.

    Numbers and arrays of numpy become plain ones, paths and enums their text, dataclasses, models and mappings
    objects, sets sorted lists. JSON has no NaN and no infinity: they are given by name, "nan", "inf" and
    "-inf", which ``float`` reads. Raises TypeError for anything else.
    """
    return json.dumps(_plain(document), ensure_ascii=False, allow_nan=False, indent=indent)


def write_json(path: Path, document: Any) -> None:
    """Writes the file whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json_text(document, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(part) for part in value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: _plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no place in JSON")
