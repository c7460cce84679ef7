"""The port's recipe: every part of the experiment, in Paddle."""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from fuxian.recipe import Recipe

sys.path.insert(0, str(Path(__file__).parent))

from data import test_data, train_data
from metric import Accuracy
from model import WaveformNet

LEARNING_RATE = 0.01


def recipe(
    claim: str = "waveforms", *, seed: int = 0, iterations: int = 200, eval_split: str = "test"
) -> Recipe:
    """The recipe of a claim of paper.toml; ``iterations`` is the length of the training."""
    return Recipe(
        model=WaveformNet,
        train_data=lambda: train_data(iterations, seed),
        eval_data=lambda: test_data(eval_split),
        loss=lambda outputs, targets: paddle.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=Accuracy,
    )


def optimizer(model: paddle.nn.Layer) -> tuple:
    """Adam, without a schedule."""
    return paddle.optimizer.Adam(LEARNING_RATE, parameters=model.parameters()), None
