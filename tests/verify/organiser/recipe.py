"""The organiser's copy of the toy paper: a metric, and no model of the organiser's own."""

from pathlib import Path

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics import Mean
from fuxian.recipe import Recipe


def right(outputs, targets, meta):
    return {"accuracy": (outputs.argmax(-1) == targets[0]).astype(np.float64)}


def recipe(claim="the-blobs", *, seed=0, iterations=40, eval_split="test"):
    # In the sandbox, where rung 1 asks for the model; said before Paddle is imported, so that tests are quick.
    if Path(__file__).is_relative_to("/given"):
        raise InputError("the organiser has no own model of the blobs")
    return Recipe(model=lambda: None, metric=lambda: Mean(right))
