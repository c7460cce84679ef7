"""Evaluation: a recipe's metric over its evaluation data."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any

from fuxian.errors import InputError
from fuxian.recipe import Recipe, to_arrays, to_tensors


@dataclass(frozen=True)
class Evaluation:
    """``figures`` from ``compute()`` and, where the metric offers them, ``examples`` (units of resampling)."""

    figures: dict[str, float]
    examples: dict[str, list[float]]


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
        outputs = recipe.forward(model, to_tensors("paddle", batch["inputs"]))
        metric.update(to_arrays(outputs), batch["targets"])
        progress(count, total)
    examples = metric.examples() if hasattr(metric, "examples") else {}
    return Evaluation(metric.compute(), examples)
