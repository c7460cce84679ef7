"""One training step of a recipe, in either framework: what training takes and what alignment compares.

Forward, named losses, backward, accumulation, the optimizers' steps (which clip), schedules, moving average.
"""

from __future__ import annotations

import copy
from typing import Any

from fuxian.errors import InputError
from fuxian.recipe import Batch, Recipe, framework_of, named_optimizers, to_tensors

PLATEAU = ("ReduceOnPlateau", "ReduceLROnPlateau")
"""Classes of schedules, Paddle's and torch's, that are given a figure when they move."""


class Trainer:
    """A model in training: ``step`` takes a batch, ``end_epoch`` and ``end_evaluation`` move the schedules due then.

    ``optimizers`` holds pairs of optimizer and schedule (or None) by name. ``part`` is what of the model is evaluated,
    ``evaluated`` that or its moving average. ``done`` counts batches; a resumed training sets it and ``followed``.
    With several ``processes`` each takes its share of a batch, and gradients and figures are averaged over them.
    """

    def __init__(self, recipe: Recipe, model: Any, processes: int = 1) -> None:
        if recipe.step is not None and recipe.accumulate > 1:
            raise InputError(
                "a recipe with a step() of its own accumulates nothing: leave accumulate at 1 and let step() call"
                " update() once with the sum of the losses."
            )
        self.recipe, self.model, self.processes = recipe, model, processes
        self.framework = framework_of(model)
        self.optimizers = named_optimizers(recipe.optimizer(model) if recipe.optimizer else {})
        self.part = recipe.evaluated(model) if recipe.evaluated else model
        self.evaluated = copy.deepcopy(self.part) if recipe.average else self.part
        self.done = 0
        self.best: tuple[int, float] | None = None
        """Step and figure of the best evaluation, where its weights are to be kept."""
        self.followed = (0.0, 0)
        """Sum and number of the losses that a reduce-on-plateau schedule is given the mean of."""

    def step(self, batch: Batch) -> dict[str, Any]:
        """Trains on one batch and returns its losses by name, detached, with their sum under ``total``.

        With ``accumulate=N`` every Nth call makes an optimizer step; schedules and average follow those alone.
        """
        recipe = self.recipe
        tensors = to_tensors(self.framework, {"inputs": batch["inputs"], "targets": batch.get("targets", ())})
        self.done += 1
        whole = self.done % recipe.accumulate == 0
        if recipe.step is not None:
            losses = _named(recipe.step(self.model, self.update, tensors))
        else:
            losses = _named(recipe.loss(recipe.forward(self.model, tensors["inputs"]), tensors["targets"]))  # type: ignore[misc]
            total = losses["total"]
            (total / recipe.accumulate if recipe.accumulate > 1 else total).backward()
            if whole:
                self._step_optimizers(tuple(self.optimizers))
        losses = {
            name: value.detach() if hasattr(value, "detach") else value for name, value in losses.items()
        }
        if recipe.schedule_every != "evaluation" and any(map(_on_plateau, self._schedules())):
            self._follow(losses)
        if whole:
            self._average()
            if recipe.schedule_every == "step":
                self._move_schedules()
        return losses

    def update(self, loss: Any, *names: str) -> None:
        """What a recipe's own ``step`` calls: backward from ``loss``, then the named optimizers step, or all.

        Every gradient is cleared afterwards, those of parameters that were not stepped too.
        """
        unknown = [name for name in names if name not in self.optimizers]
        if unknown:
            raise InputError(
                f"step() updates {', '.join(unknown)}; the recipe's optimizers are {', '.join(self.optimizers)}."
            )
        loss.backward()
        self._step_optimizers(names or tuple(self.optimizers))

    def end_epoch(self) -> None:
        """Moves the schedules of a recipe that says ``schedule_every="epoch"``."""
        if self.recipe.schedule_every == "epoch":
            self._move_schedules()

    def end_evaluation(self, figures: dict[str, float]) -> None:
        """Moves the schedules of a recipe that says ``schedule_every="evaluation"``."""
        if self.recipe.schedule_every != "evaluation":
            return
        name = self.recipe.schedule_follows
        if any(map(_on_plateau, self._schedules())) and name not in figures:
            raise InputError(
                f"the schedule follows {name!r}, and the metric's figures are {', '.join(figures)}: name one of them"
                " in schedule_follows."
            )
        self._move_schedules(figures.get(name))

    def average_gradients(self) -> None:
        """Over the processes; done before each optimizer step, and where half an accumulation is kept."""
        if self.processes > 1:
            from fuxian.training.distributed import average_gradients

            average_gradients(self.model, self.processes)

    def _step_optimizers(self, names: tuple[str, ...]) -> None:
        self.average_gradients()
        for name in names:
            self.optimizers[name][0].step()
        for optimizer, _ in self.optimizers.values():
            # To None and not to zero: a parameter that a batch does not reach is then left alone.
            if self.framework == "paddle":
                optimizer.clear_grad(set_to_zero=False)
            else:
                optimizer.zero_grad(set_to_none=True)
        for parameter in self.model.parameters():
            if self.framework == "paddle":
                parameter.clear_gradient(False)
            else:
                parameter.grad = None

    def _average(self) -> None:
        if self.recipe.average is None:
            return
        if self.framework == "paddle":
            from paddle import no_grad
        else:
            from torch import no_grad
        with no_grad():
            self.recipe.average(self.evaluated, self.part, self.done // self.recipe.accumulate)

    def _schedules(self) -> list[Any]:
        return [schedule for _, schedule in self.optimizers.values() if schedule is not None]

    def _follow(self, losses: dict[str, Any]) -> None:
        name = self.recipe.schedule_follows
        if name not in losses:
            raise InputError(
                f"the schedule follows {name!r}, and the losses are {', '.join(losses)}: name one of them in"
                " schedule_follows."
            )
        total, count = self.followed
        self.followed = (total + float(losses[name]), count + 1)

    def _move_schedules(self, figure: float | None = None) -> None:
        total, count = self.followed
        if figure is None and count:
            figure = total / count
            if self.processes > 1:
                from fuxian.training.distributed import mean

                figure = mean([figure])[0]
        self.followed = (0.0, 0)
        for schedule in self._schedules():
            move_schedule(schedule, figure)


def move_schedule(schedule: Any, figure: float | None = None) -> None:
    """One step of a schedule; ``figure`` is for one that reduces on a plateau (0 where there is none yet)."""
    if _on_plateau(schedule):
        schedule.step(0.0 if figure is None else figure)
    else:
        schedule.step()


def _on_plateau(schedule: Any) -> bool:
    return any(cls.__name__ in PLATEAU for cls in type(schedule).__mro__)


def _named(losses: Any) -> dict[str, Any]:
    named = losses if isinstance(losses, dict) else {"total": losses}
    if "total" not in named:
        raise InputError(f"the losses are named {', '.join(map(str, named))}; name their sum 'total'.")
    return named
