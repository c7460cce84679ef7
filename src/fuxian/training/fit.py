"""The training loop: plain Paddle, one step after another, resumable at any checkpoint bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle

from fuxian.errors import InputError
from fuxian.recipe import Batch, Recipe, leaves, to_tensors
from fuxian.training import checkpoints
from fuxian.training.distributed import average_gradients, share, world
from fuxian.training.evaluate import evaluate
from fuxian.training.log import TrainingLog
from fuxian.training.seeds import seed_everything

FIRST_STEPS_LOGGED = 20
"""Logged one by one, so that a replay of them can be checked against the log."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long to train and how often to write, all in steps. ``evaluate_every`` 0 means never."""

    iterations: int
    log_every: int = 100
    checkpoint_every: int = 1000
    evaluate_every: int = 0


def build(recipe: Recipe, seed: int) -> tuple[Any, checkpoints.Optimizers]:
    """A freshly initialised model and its optimizers, the same for the same seed."""
    if recipe.optimizer is None or recipe.train_data is None or (recipe.loss is None and recipe.step is None):
        raise InputError("this recipe cannot be trained: give it train_data, optimizer and loss (or step).")
    seed_everything(seed)
    with paddle.utils.unique_name.guard():
        model = recipe.model()
        made = recipe.optimizer(model)
    return model, made if isinstance(made, dict) else {"main": made}


def fit(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int,
    length: Length,
    progress: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
) -> Any:
    """Trains, continuing from the newest checkpoint of ``folder`` where there is one, and returns the model.

    Writes ``log.jsonl``, ``vdl/`` and ``checkpoints/`` in ``folder``. ``progress`` hears of every step.

    Raises InputError where the recipe lacks a part or the loss is no longer finite.
    """
    rank, processes = world()
    model, optimizers = build(recipe, seed)
    evaluated = recipe.evaluated(model) if recipe.evaluated else None
    separate = evaluated if evaluated is not model else None
    newest = checkpoints.latest(folder / "checkpoints")
    start = checkpoints.restore(newest, model, optimizers, separate) if newest else 0
    model.train()
    log = TrainingLog(folder, start) if rank == 0 else None
    batches = _batches(recipe, seed, start)
    steps_an_epoch = _length(recipe)
    since_log: list[Any] = []
    reader_cost = batch_cost = 0.0
    examples = 0
    for step in range(start + 1, length.iterations + 1):
        began = time.perf_counter()
        batch = share(next(batches), rank, processes)
        read = time.perf_counter()
        losses = _train_step(recipe, model, optimizers, batch, processes, step, steps_an_epoch)
        since_log.append(losses)
        reader_cost += read - began
        batch_cost += time.perf_counter() - began
        examples += len(leaves(batch["inputs"])[0][1]) * processes
        last = step == length.iterations
        if step <= FIRST_STEPS_LOGGED or step % length.log_every == 0 or last:
            count = len(since_log)
            figures = {name: sum(float(one[name]) for one in since_log) / count for name in since_log[0]}
            if not math.isfinite(figures["loss"]):
                raise InputError(
                    f"{folder}: the loss is {figures['loss']} at step {step}; the training has diverged, lower the"
                    " learning rate or look at the data of that step."
                )
            figures["lr"] = next(iter(optimizers.values()))[0].get_lr()
            figures |= {
                "reader_cost": reader_cost / count,
                "batch_cost": batch_cost / count,
                "ips": examples / batch_cost,
            }
            if log:
                log.write(step, figures)
            progress(step, figures)
            since_log, reader_cost, batch_cost, examples = [], 0.0, 0.0, 0
        else:
            progress(step, {})
        if log and (step % length.checkpoint_every == 0 or last):
            log.sync()
            checkpoints.save(folder / "checkpoints", step, model, optimizers, separate)
        if log and length.evaluate_every and (step % length.evaluate_every == 0 or last):
            log.write(step, {}, evaluate(recipe, evaluated or model).figures)
            model.train()
    if log:
        log.close()
    return evaluated or model


def _train_step(
    recipe: Recipe,
    model: Any,
    optimizers: checkpoints.Optimizers,
    batch: Batch,
    processes: int,
    step: int,
    steps_an_epoch: int | None,
) -> dict[str, Any]:
    if recipe.step is not None:
        losses = recipe.step(model, {name: pair[0] for name, pair in optimizers.items()}, batch)
    else:
        assert recipe.loss is not None  # noqa: S101 - build() has checked
        outputs = recipe.forward(model, to_tensors("paddle", batch["inputs"]))
        losses = recipe.loss(outputs, to_tensors("paddle", batch["targets"]))
        total = losses["total"] if isinstance(losses, dict) else losses
        (total / recipe.accumulate if recipe.accumulate > 1 else total).backward()
        if step % recipe.accumulate == 0:
            average_gradients(model, processes)
            for optimizer, _ in optimizers.values():
                optimizer.step()
                optimizer.clear_grad()
    ends_epoch = steps_an_epoch is not None and step % steps_an_epoch == 0
    if recipe.schedule_every == "step" or ends_epoch:
        for _, schedule in optimizers.values():
            if schedule is not None:
                schedule.step()
    named = losses if isinstance(losses, dict) else {"total": losses}
    detached = {name: value.detach() if hasattr(value, "detach") else value for name, value in named.items()}
    return {"loss": detached.pop("total"), **detached}


def _length(recipe: Recipe) -> int | None:
    assert recipe.train_data is not None  # noqa: S101 - build() has checked
    data = recipe.train_data()
    return len(data) if isinstance(data, Sized) else None


def _batches(recipe: Recipe, seed: int, start: int) -> Iterator[Batch]:
    """The batch of every step after ``start``, each drawn with the generators seeded by its step.

    A sequence is indexed; any other iterable is read from its beginning, epoch after epoch, and what lies before
    ``start`` thrown away.
    """
    assert recipe.train_data is not None  # noqa: S101 - build() has checked
    step = 0
    while True:
        data = recipe.train_data()
        if isinstance(data, Sequence):
            for step in range(start, start + len(data)):
                seed_everything(seed, step)
                yield data[step % len(data)]
            start += len(data)
            continue
        seed_everything(seed, step)
        read = iter(data)
        began = step
        while True:
            seed_everything(seed, step)
            batch = next(read, None)
            if batch is None:
                break
            step += 1
            if step > start:
                yield batch
        if step == began:
            raise InputError("train_data() gave no batch; give it at least one.")
