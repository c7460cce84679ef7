"""Checkpoints: a folder ``checkpoints/step_00010000`` of safetensors files and ``state.json``, never a pickle.

A checkpoint is written beside its place and renamed into it, so that a process killed at any moment leaves only whole
checkpoints. The two newest are kept, and those that a replay of the training may begin from (see ``chain``).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from fuxian.errors import InputError
from fuxian.recipe import Recipe
from fuxian.training.chain import BEST, state_digest, with_followed
from fuxian.training.step import Trainer
from fuxian.weights import load_tensors, save_tensors

KEPT = 2
MODEL, EVALUATED = "model.safetensors", "evaluated.safetensors"
"""The model in training; what is evaluated, where that is a part or a moving average of it."""


@dataclass(frozen=True)
class State:
    """All that decides how a training goes on: tensors by file name, and the schedules' states."""

    files: dict[str, dict[str, np.ndarray]]
    schedules: dict[str, Any]
    followed: tuple[float, int] = (0.0, 0)
    """Sum and number of the losses that a reduce-on-plateau schedule is given the mean of."""

    def digest(self) -> str:
        """Of every bit of it."""
        return state_digest(self.files, with_followed(self.schedules, self.followed))


def state_of(trainer: Trainer) -> State:
    """The state of a training as it is now; in the middle of an accumulation with the gradients."""
    model = trainer.model
    files = {MODEL: _arrays(model.state_dict())}
    if trainer.evaluated is not model:
        files[EVALUATED] = _arrays(trainer.evaluated.state_dict())
    schedules = {}
    for name, (optimizer, schedule) in trainer.optimizers.items():
        moments = _with_structured_names(optimizer.state_dict(), model)
        files[f"optimizer.{name}.safetensors"] = {
            key: value.numpy() for key, value in moments.items() if isinstance(value, paddle.Tensor)
        }
        if schedule is not None:
            schedules[name] = schedule.state_dict()
    if trainer.done % trainer.recipe.accumulate:
        files["gradients.safetensors"] = {
            name: p.grad.numpy() for name, p in _named(model) if p.grad is not None
        }
    return State(files, schedules, trainer.followed)


def save(
    folder: Path,
    trainer: Trainer,
    state: State,
    *,
    since_log: Sequence[dict[str, float]] = (),
    keeps: Callable[[int, int], bool] = lambda step, size: False,
) -> Path:
    """Writes a training's state under ``folder`` (a run's ``checkpoints``) and returns its path.

    ``since_log`` are the losses that the next log line will average; ``keeps(step, bytes)`` says whether an older
    checkpoint stays for a replay.
    """
    step = trainer.done
    place = folder / f"step_{step:08d}"
    for left_over in folder.glob(".step_*"):
        shutil.rmtree(left_over)
    draft = folder / f".{place.name}"
    draft.mkdir(parents=True)
    for name, tensors in state.files.items():
        save_tensors(draft / name, tensors, {"iterations": str(step)} if name in (MODEL, EVALUATED) else {})
    if trainer.best is not None:
        before = latest(folder)
        if trainer.best[0] == step or before is None:
            source = draft / (EVALUATED if EVALUATED in state.files else MODEL)
        else:
            source = before / BEST
        try:
            os.link(source, draft / BEST)
        except OSError:  # a file system without links
            shutil.copyfile(source, draft / BEST)
    with (draft / "state.json").open("w") as file:
        written = {"step": step, "schedules": state.schedules, "since_log": list(since_log)}
        written |= {"followed": state.followed} if state.followed[1] else {}
        written |= {"best": trainer.best} if trainer.best else {}
        json.dump(written, file)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(place, ignore_errors=True)
    draft.rename(place)
    size = sum(file.stat().st_size for file in place.iterdir())
    for old in _all(folder)[:-KEPT]:
        if not keeps(int(old.name.removeprefix("step_")), size):
            shutil.rmtree(old)
    return place


def latest(folder: Path) -> Path | None:
    """The newest checkpoint under ``folder``, or None."""
    found = _all(folder)
    return found[-1] if found else None


def weights_of(place: Path) -> Path:
    """The file of a checkpoint that holds the weights to evaluate, publish and export."""
    return next(place / name for name in (BEST, EVALUATED, MODEL) if name == MODEL or (place / name).exists())


def load_evaluated(recipe: Recipe, weights: Path) -> Any:
    """A layer with such weights, ready for ``recipe.forward`` in evaluation. Raises InputError as ``load_into``."""
    model = recipe.model()
    layer = recipe.evaluated(model) if recipe.evaluated else model
    load_into(layer, weights)
    return layer


def restore(place: Path, trainer: Trainer) -> list[dict[str, float]]:
    """Loads a checkpoint into a training that was freshly built, and returns ``since_log``.

    Raises InputError where a file is damaged, or a tensor missing, left over, or of another shape.
    """
    try:
        state = json.loads((place / "state.json").read_text())
        step, schedules = int(state["step"]), dict(state["schedules"])
        since_log = [
            {str(name): float(value) for name, value in losses.items()}
            for losses in state.get("since_log", [])
        ]
        total, count = state.get("followed", (0.0, 0))
        followed = float(total), int(count)
        best = state.get("best") and (int(state["best"][0]), float(state["best"][1]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{place}: its state.json is missing or damaged; remove this folder to go on from the checkpoint before."
        ) from error
    load_into(trainer.model, place / MODEL)
    if trainer.evaluated is not trainer.model:
        load_into(trainer.evaluated, place / EVALUATED)
    parameters = dict(_named(trainer.model))
    for name, (optimizer, schedule) in trainer.optimizers.items():
        file = place / f"optimizer.{name}.safetensors"
        moments: dict[str, Any] = {}
        for key, value in load_tensors(file).items():
            structured, _, slot = key.partition("/")
            parameter = parameters.get(structured)
            # Next to moments of the parameter's shape there are scalars, such as Adam's powers of beta.
            fits = parameter is not None and (value.size == 1 or list(value.shape) == list(parameter.shape))
            if slot and not fits:
                raise InputError(
                    f"{file}: {key} fits no parameter of this model; give its very own checkpoint."
                )
            moments[f"{parameters[structured].name}_{slot}" if slot else key] = paddle.to_tensor(
                np.array(value)
            )
        if schedule is not None:
            moments["LR_Scheduler"] = _schedule_state(place, schedules.get(name), schedule)
        optimizer.set_state_dict(moments)
    if (place / "gradients.safetensors").exists():
        for key, value in load_tensors(place / "gradients.safetensors").items():
            if key not in parameters or list(value.shape) != list(parameters[key].shape):
                raise InputError(
                    f"{place}: the gradient of {key} fits no parameter; give this model's checkpoint."
                )
            parameters[key].grad = paddle.to_tensor(np.array(value))
    trainer.done, trainer.followed, trainer.best = step, followed, best
    return since_log


def _schedule_state(place: Path, stored: Any, schedule: Any) -> dict[str, Any]:
    wanted = schedule.state_dict()
    same = isinstance(stored, dict) and set(stored) == set(wanted)
    if not same or any(isinstance(stored[key], str) != isinstance(wanted[key], str) for key in wanted):
        raise InputError(
            f"{place}: its state.json does not hold this recipe's learning-rate schedule; go on with the recipe that"
            " the run was started with."
        )
    return stored


def load_into(layer: Any, path: Path) -> None:
    """Sets every parameter and buffer of ``layer`` from a file of weights; all must be there and nothing else.

    What was stored in float16, to be published in half the size, is widened.
    """
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
        half = value.dtype == np.float16 and wanted[name].dtype == paddle.float32
        wanted[name].set_value(np.array(value, np.float32 if half else None))


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
