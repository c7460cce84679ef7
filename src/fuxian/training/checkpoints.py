"""Checkpoints: a folder ``checkpoints/step_00010000`` of safetensors files and ``state.json``, never a pickle.

A checkpoint is written beside its place and renamed into it, so that a process killed at any moment leaves only whole
checkpoints. The two newest are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from fuxian.errors import InputError
from fuxian.weights import load_tensors, save_tensors

KEPT = 2
Optimizers = dict[str, tuple[Any, Any]]
"""Named pairs of optimizer and learning-rate schedule (or None)."""


def save(folder: Path, step: int, model: Any, optimizers: Optimizers, evaluated: Any | None = None) -> Path:
    """Writes the state after ``step`` steps under ``folder`` (a run's ``checkpoints``) and returns its path."""
    place = folder / f"step_{step:08d}"
    draft = folder / f".{place.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    about = {"iterations": str(step)}
    save_tensors(draft / "model.safetensors", _arrays(model.state_dict()), about)
    if evaluated is not None:
        save_tensors(draft / "evaluated.safetensors", _arrays(evaluated.state_dict()), about)
    schedules = {}
    for name, (optimizer, schedule) in optimizers.items():
        state = _with_structured_names(optimizer.state_dict(), model)
        tensors = {key: value.numpy() for key, value in state.items() if isinstance(value, paddle.Tensor)}
        save_tensors(draft / f"optimizer.{name}.safetensors", tensors, {})
        if schedule is not None:
            schedules[name] = schedule.state_dict()
    (draft / "state.json").write_text(json.dumps({"step": step, "schedules": schedules}))
    shutil.rmtree(place, ignore_errors=True)
    draft.rename(place)
    for old in _all(folder)[:-KEPT]:
        shutil.rmtree(old)
    return place


def latest(folder: Path) -> Path | None:
    """The newest checkpoint under ``folder``, or None."""
    found = _all(folder)
    return found[-1] if found else None


def restore(place: Path, model: Any, optimizers: Optimizers, evaluated: Any | None = None) -> int:
    """Loads a checkpoint into freshly built parts and returns the number of steps done.

    Raises InputError where a tensor is missing, left over, or of another shape.
    """
    state = json.loads((place / "state.json").read_text())
    load_into(model, place / "model.safetensors")
    if evaluated is not None:
        load_into(evaluated, place / "evaluated.safetensors")
    names = {structured: parameter.name for structured, parameter in _named(model)}
    for name, (optimizer, schedule) in optimizers.items():
        stored = load_tensors(place / f"optimizer.{name}.safetensors")
        moments = {}
        for key, value in stored.items():
            structured, _, slot = key.partition("/")
            moments[f"{names[structured]}_{slot}" if slot else key] = paddle.to_tensor(np.array(value))
        if schedule is not None:
            moments["LR_Scheduler"] = state["schedules"][name]
        optimizer.set_state_dict(moments)
    return state["step"]


def load_into(layer: Any, path: Path) -> None:
    """Sets every parameter and buffer of ``layer`` from a file of weights; all must be there and nothing else."""
    stored = load_tensors(path)
    wanted = layer.state_dict()
    wrong = sorted(set(stored) ^ set(wanted)) + sorted(
        name for name in set(stored) & set(wanted) if list(stored[name].shape) != list(wanted[name].shape)
    )
    if wrong:
        raise InputError(
            f"{path}: {', '.join(wrong[:8])} missing, unknown or of another shape; give weights of this very model."
        )
    for name, value in stored.items():
        wanted[name].set_value(np.array(value))


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*"))


def _arrays(state: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in state.items()}


def _named(model: Any) -> list[tuple[str, Any]]:
    return list(model.named_parameters())


def _with_structured_names(state: dict[str, Any], model: Any) -> dict[str, Any]:
    """Paddle keys moments by generated parameter names, which change from process to process."""
    by_length = sorted(_named(model), key=lambda pair: -len(pair[1].name))
    renamed = {}
    for key, value in state.items():
        owner = next((pair for pair in by_length if key.startswith(f"{pair[1].name}_")), None)
        renamed[f"{owner[0]}/{key[len(owner[1].name) + 1 :]}" if owner else key] = value
    return renamed
