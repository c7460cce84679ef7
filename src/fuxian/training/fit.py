"""The training loop: plain Paddle, one step after another, resumable at any checkpoint bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle

from fuxian.errors import InputError
from fuxian.recipe import Recipe, framework_of
from fuxian.training import chain, checkpoints, numeric_mode
from fuxian.training.batches import batches, examples
from fuxian.training.distributed import from_first, mean, wait, world
from fuxian.training.evaluate import evaluate
from fuxian.training.exact_roots import exact_roots
from fuxian.training.interrupt import deferred
from fuxian.training.log import TrainingLog
from fuxian.training.seeds import seed_everything
from fuxian.training.step import Trainer

FIRST_STEPS_LOGGED = 20
"""Logged one by one, so that a replay of them can be checked against the log."""
SAVED_SECONDS = 300.0
"""A training in one process writes a checkpoint at least this often, however long its steps take."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long to train and how often to write, all in steps. ``evaluate_every`` 0 means never.

    ``keep_bytes``: what the checkpoints that are kept for a replay may take on disk.
    """

    iterations: int
    log_every: int = 100
    checkpoint_every: int = 1000
    evaluate_every: int = 0
    keep_bytes: int = chain.KEPT_BYTES


@dataclass(frozen=True)
class Best:
    """Which evaluation's weights are kept beside the newest: those of the best ``figure`` of the metric."""

    figure: str
    higher: bool

    def improves(self, figures: dict[str, float], before: tuple[int, float] | None) -> bool:
        """Whether the figures are better than the best so far (step, figure): the first of equals stays."""
        if self.figure not in figures:
            raise InputError(
                f"the best {self.figure} is asked for, and the metric's figures are {', '.join(figures)}."
            )
        now = figures[self.figure]
        if before is None:
            return True
        return now > before[1] if self.higher else now < before[1]


def build(recipe: Recipe, seed: int, processes: int = 1) -> Trainer:
    """A freshly initialised model with its optimizers, the same for the same seed."""
    if recipe.optimizer is None or recipe.train_data is None or (recipe.loss is None and recipe.step is None):
        raise InputError("this recipe cannot be trained: give it train_data, optimizer and loss (or step).")
    seed_everything(seed)
    with paddle.utils.unique_name.guard():
        model = recipe.model()
        if framework_of(model) != "paddle":
            raise InputError(
                "model() returned a torch.nn.Module; training is Paddle's, give the port's recipe."
            )
        return Trainer(recipe, model, processes)


def fit(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int,
    length: Length,
    workers: int = 0,
    best: Best | None = None,
    progress: Callable[[int, dict[str, float]], None] = lambda step, figures: None,
) -> Any:
    """Trains, continuing from the newest checkpoint of ``folder`` where there is one, and returns the model.

    Writes ``log.jsonl``, ``vdl/`` (``tb/`` where TensorBoard is installed) and ``checkpoints/`` in ``folder``.
    ``workers`` processes draw the batches ahead, to the same numbers as this one would. With ``best`` each checkpoint
    also holds the weights of the best evaluation so far. ``progress`` hears of every step. Ctrl-C takes effect after
    the step, once a checkpoint is written.

    Raises InputError where the recipe lacks a part or the loss is no longer finite.
    """
    # Paddle names an optimizer's moments when it first steps, and numbers the names unless they are its first ones:
    # without names of its own, a run would not find the moments of one that followed another run in its process.
    with paddle.utils.unique_name.guard(), ExitStack() as opened:
        if numeric_mode.current() == "portable":
            opened.enter_context(exact_roots())
        return _fit(recipe, folder, seed, length, workers, best, progress, opened)


def _fit(
    recipe: Recipe,
    folder: Path,
    seed: int,
    length: Length,
    workers: int,
    best: Best | None,
    progress: Callable[[int, dict[str, float]], None],
    opened: ExitStack,
) -> Any:
    rank, processes = world()
    if recipe.schedule_every == "evaluation" and not length.evaluate_every:
        raise InputError(
            "the schedule moves after each evaluation, and none is asked for: set evaluate_every."
        )
    if best is not None and not length.evaluate_every:
        raise InputError(f"the best {best.figure} is asked for, and no evaluation: set evaluate_every.")
    trainer = build(recipe, seed, processes)
    newest = checkpoints.latest(folder / "checkpoints")
    since_log = checkpoints.restore(newest, trainer) if newest else []
    start = trainer.done
    if any(parameter.is_distributed for parameter in trainer.model.parameters()):
        raise InputError("parameters spread over the processes are in no checkpoint: train in one process.")
    # No process may write a checkpoint while another still looks for the newest.
    wait(processes)
    trainer.model.train()
    folder.mkdir(parents=True, exist_ok=True)
    pressed = opened.enter_context(deferred())
    log = TrainingLog(folder, start) if rank == 0 else None
    if log:
        _begin_chain(log, seed, start, lambda: checkpoints.state_of(trainer))
    drawing = batches(
        recipe,
        seed=seed,
        start=start,
        stop=length.iterations,
        rank=rank,
        processes=processes,
        workers=workers,
    )
    read = opened.enter_context(closing(drawing))
    saved = time.monotonic()
    reader_cost = batch_cost = 0.0
    timed = trained_on = 0
    for step in range(start + 1, length.iterations + 1):
        began = time.perf_counter()
        batch, new_epoch = next(read)
        drawn = time.perf_counter()
        seed_everything(seed, step - 1, of=f"step/{rank}")
        if new_epoch and step > 1:
            trainer.end_epoch()
        rates = _rates(trainer)
        losses = trainer.step(batch)
        since_log.append({"loss": losses.pop("total"), **losses})
        timed += 1
        reader_cost += drawn - began
        batch_cost += time.perf_counter() - began
        trained_on += examples(recipe, batch, processes)
        last = step == length.iterations
        logs = step <= FIRST_STEPS_LOGGED or step % length.log_every == 0 or last
        # Several processes must write the same checkpoints, and each has a clock and a keyboard of its own.
        stops = processes == 1 and pressed()
        overdue = processes == 1 and time.monotonic() - saved > SAVED_SECONDS
        saves = step % length.checkpoint_every == 0 or last or stops or overdue
        if logs or saves:
            since_log = _settled(since_log, folder, step)
        if logs:
            count = len(since_log)
            figures = {name: sum(one[name] for one in since_log) / count for name in since_log[0]}
            figures |= {
                **rates,
                "reader_cost": reader_cost / timed,
                "batch_cost": batch_cost / timed,
                "ips": trained_on / batch_cost,
            }
            if log:
                log.write(step, figures)
            progress(step, figures)
            since_log, reader_cost, batch_cost, timed, trained_on = [], 0.0, 0.0, 0, 0
        else:
            progress(step, {})
        if length.evaluate_every and (step % length.evaluate_every == 0 or last):
            if log:
                found = evaluate(recipe, trainer.evaluated).figures
                log.write(step, {}, found)
                trainer.model.train()
            found = from_first(found if log else {}, processes)
            trainer.end_evaluation(found)
            if best is not None and best.improves(found, trainer.best):
                trainer.best = step, found[best.figure]
                if not saves:
                    since_log, saves = _settled(since_log, folder, step), True
        # Last, so that a checkpoint is never ahead of the log: what follows it is dropped and done again.
        if saves:
            if step % recipe.accumulate:
                trainer.average_gradients()
            if log:
                state = checkpoints.state_of(trainer)
                if log.link is not None:
                    log.write_link(chain.next_link(log.link, step, state.digest()))
                log.sync()
                checkpoints.save(
                    folder / "checkpoints", trainer, state, since_log=since_log, keeps=_keeps(length)
                )
            saved = time.monotonic()
        if stops and not last:
            raise KeyboardInterrupt
    wait(processes)
    if log:
        log.close()
    return trainer.evaluated


def _begin_chain(log: TrainingLog, seed: int, start: int, state: Callable[[], checkpoints.State]) -> None:
    """Writes the first link of a new training; a resumed one must go on in the mode that its log says."""
    mode = numeric_mode.current()
    if start == 0:
        log.write_link(chain.first_link(seed, mode, state().digest()), seed, mode)
    elif log.chain is not None and log.chain.numeric_mode != mode:
        raise InputError(
            f"{log.path}: this training was begun in the {log.chain.numeric_mode} numeric mode and this process is in"
            f" the {mode} one; resume it with `--resume`, or set the variables that docs/reproduce.md names."
        )


def _keeps(length: Length) -> Callable[[int, int], bool]:
    """Whether the checkpoint of a step stays for a replay, given the bytes that one takes."""
    in_all = math.ceil(length.iterations / length.checkpoint_every)

    def keeps(step: int, size: int) -> bool:
        every = length.checkpoint_every * chain.stride(in_all, size, length.keep_bytes)
        return step % every == 0

    return keeps


def _rates(trainer: Trainer) -> dict[str, float]:
    """The learning rates of the next step: ``lr`` of the main (or first) optimizer, ``lr.<name>`` of the others."""
    main = "main" if "main" in trainer.optimizers else next(iter(trainer.optimizers))
    return {
        "lr" if name == main else f"lr.{name}": optimizer.get_lr()
        for name, (optimizer, _) in trainer.optimizers.items()
    }


def _settled(since_log: list[dict[str, Any]], folder: Path, step: int) -> list[dict[str, float]]:
    """The losses of the last steps as numbers, each the mean over the processes."""
    means = iter(mean([value for one in since_log for value in one.values()]))
    settled = [{name: next(means) for name in one} for one in since_log]
    first = step - len(since_log) + 1
    for at, losses in enumerate(settled, start=first):
        if not math.isfinite(losses["loss"]):
            raise InputError(
                f"{folder}: the loss is {losses['loss']} at step {at}; the training has diverged, lower the learning"
                " rate or look at the data of that step."
            )
    return settled
