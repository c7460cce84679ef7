"""Evaluation: a recipe's metric over its evaluation data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import paddle

from fuxian.errors import InputError
from fuxian.metrics import Units
from fuxian.recipe import Recipe, Tree, to_arrays, to_tensors, update_metric


@dataclass(frozen=True)
class Evaluation:
    """Every figure of the metric and, where it offers them, what each unit contributed to it."""

    figures: dict[str, float]
    units: Mapping[str, Units]


def outputs_of(recipe: Recipe, model: Any, inputs: Tree) -> Tree:
    """The outputs for a batch's inputs, as arrays; no graph is built unless the recipe is ``higher_order``."""
    with nullcontext() if recipe.higher_order else paddle.no_grad():
        return to_arrays(recipe.forward(model, to_tensors("paddle", inputs)))


def evaluate(
    recipe: Recipe, model: Any, progress: Callable[[int, int], None] = lambda done, total: None
) -> Evaluation:
    """Runs the model in evaluation mode over ``eval_data``.

    ``progress`` hears how many batches are done, of how many (0 where that is not known).

    Raises InputError where the recipe has no ``eval_data`` or no ``metric``.
    """
    if recipe.eval_data is None or recipe.metric is None:
        raise InputError("this recipe cannot be evaluated: give it eval_data and metric.")
    model.eval()
    metric = recipe.metric()
    data = recipe.eval_data()
    total = len(data) if isinstance(data, Sized) else 0
    for count, batch in enumerate(data, start=1):
        update_metric(metric, outputs_of(recipe, model, batch["inputs"]), batch)
        progress(count, total)
    return Evaluation(metric.figures(), metric.units() if hasattr(metric, "units") else {})
