"""A recipe with everything that makes resuming hard: python hard_recipe.py FOLDER trains it there.

Dropout, batch normalisation, two optimizers with schedules of their own (one clips), gradients accumulated over two
steps, a moving average that is evaluated, and a shuffling iterable that draws noise from Python's, numpy's and
Paddle's generators.
"""

import random
import sys
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from fuxian.recipe import Recipe
from fuxian.training.fit import Length, fit

SEED = 3
LENGTH = Length(iterations=150, log_every=8, checkpoint_every=7, evaluate_every=25)


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1D(16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.body(x))


class Shuffled:
    """Eleven batches in an order of its own each epoch, so that epochs and accumulations never line up."""

    def __iter__(self):
        order = list(range(11))
        random.shuffle(order)
        for place in order:
            x = np.linspace(-1, 1, 32).reshape(8, 4) + place / 11
            x = x + np.random.normal(0, 0.1, x.shape) + paddle.randn([8, 4]).numpy()
            yield {"inputs": (x.astype("float32"),), "targets": (x.sum(1, keepdims=True).astype("float32"),)}


class SquaredError:
    def __init__(self):
        self.errors = []

    def update(self, outputs, targets):
        self.errors += np.square(outputs - targets[0]).mean(1).tolist()

    def figures(self, selection=None):
        return {"mse": float(np.mean(self.errors))}

    def examples(self):
        return {"mse": self.errors}


def optimizers(model):
    decay = paddle.optimizer.lr.CosineAnnealingDecay(0.01, 12)
    clip = nn.ClipGradByGlobalNorm(0.5)
    body = paddle.optimizer.AdamW(decay, parameters=model.body.parameters(), grad_clip=clip)
    steps = paddle.optimizer.lr.StepDecay(0.05, 3)
    return {
        "body": (body, decay),
        "head": (paddle.optimizer.Momentum(steps, parameters=model.head.parameters()), steps),
    }


def loss(outputs, targets):
    error = nn.functional.mse_loss(outputs, targets[0])
    size = outputs.square().mean()
    return {"total": error + 0.01 * size, "error": error, "size": size}


def average(averaged, trained, updates):
    decay = min(0.9, updates / (1 + updates))
    now = trained.state_dict()
    for name, value in averaged.state_dict().items():
        value.set_value(decay * value + (1 - decay) * now[name])


def recipe():
    return Recipe(
        model=Net,
        train_data=Shuffled,
        eval_data=lambda: [{"inputs": (np.ones((2, 4), "float32"),), "targets": (np.ones((2, 1)),)}],
        loss=loss,
        optimizer=optimizers,
        metric=SquaredError,
        schedule_every="epoch",
        accumulate=2,
        average=average,
    )


if __name__ == "__main__":
    fit(recipe(), Path(sys.argv[1]), seed=SEED, length=LENGTH)
