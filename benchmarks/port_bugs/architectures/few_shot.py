"""Second-order MAML of a small 1-d convolutional regressor: gradients through inner gradient steps."""

from __future__ import annotations

import numpy as np
import paddle
import torch

from fuxian.recipe import Recipe

CHANNELS, LENGTH, STEPS, INNER_RATE = 6, 8, 2, 0.1


def tasks(*, seed, count=3):
    """Each batch is one task: support signals and values, query signals; the target is the query's values."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        signal = rng.normal(size=(10, 1, LENGTH)).astype("float32")
        value = (signal[:, 0] * rng.normal(size=LENGTH)).sum(1, keepdims=True).astype("float32")
        yield {"inputs": (signal[:5], value[:5], signal[5:]), "targets": (value[5:],)}


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv1d(1, CHANNELS, 3, padding=1)
        self.conv2 = torch.nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)
        self.fc = torch.nn.Linear(CHANNELS, 1)

    def apply_weights(self, weights, x):
        x = torch.tanh(torch.nn.functional.conv1d(x, weights[0], weights[1], padding=1))
        x = torch.tanh(torch.nn.functional.conv1d(x, weights[2], weights[3], padding=1))
        return x.mean(-1) @ weights[4].t() + weights[5]

    def forward(self, support, values, query):
        weights = list(self.parameters())
        for _ in range(STEPS):
            loss = ((self.apply_weights(weights, support) - values) ** 2).mean()
            slopes = torch.autograd.grad(loss, weights, create_graph=True)
            weights = [w - INNER_RATE * g for w, g in zip(weights, slopes, strict=True)]
        return self.apply_weights(weights, query)


class Squared:
    def __init__(self):
        self.errors = []

    def update(self, outputs, targets):
        self.errors += ((outputs - targets[0]) ** 2)[:, 0].tolist()

    def figures(self, selection=None):
        return {"mse": float(np.mean(self.errors))}

    def examples(self):
        return {"mse": self.errors}


def reference() -> Recipe:
    return Recipe(
        model=TorchNet,
        train_data=lambda: tasks(seed=1),
        eval_data=lambda: tasks(seed=2),
        loss=lambda outputs, targets: torch.nn.functional.mse_loss(outputs, targets[0]),
        optimizer=lambda model: (torch.optim.Adam(model.parameters(), lr=1e-2), None),
        metric=Squared,
        higher_order=True,
    )


def through_input(loss, weights, x):
    """Asks for the input's gradient too: without it Paddle drops a convolution's second-order terms."""
    return paddle.grad(loss, [*weights, x], create_graph=True)[:-1]


def weights_only(loss, weights, x):
    return paddle.grad(loss, weights, create_graph=True)


def first_order(loss, weights, x):
    return [slope.detach() for slope in paddle.grad(loss, weights, retain_graph=True)]


class Net(paddle.nn.Layer):
    def __init__(self, gradient=through_input, steps=STEPS, rate=INNER_RATE, from_start=False):
        super().__init__()
        self.conv1 = paddle.nn.Conv1D(1, CHANNELS, 3, weight_attr=uniform(3), bias_attr=uniform(3))
        wide = uniform(CHANNELS * 3)
        self.conv2 = paddle.nn.Conv1D(CHANNELS, CHANNELS, 3, weight_attr=wide, bias_attr=wide)
        self.fc = paddle.nn.Linear(CHANNELS, 1, weight_attr=uniform(CHANNELS), bias_attr=uniform(CHANNELS))
        self.gradient, self.steps, self.rate, self.from_start = gradient, steps, rate, from_start

    def apply_weights(self, weights, x):
        x = paddle.tanh(paddle.nn.functional.conv1d(x, weights[0], weights[1], padding=1))
        x = paddle.tanh(paddle.nn.functional.conv1d(x, weights[2], weights[3], padding=1))
        return x.mean(-1) @ weights[4] + weights[5]

    def forward(self, support, values, query):
        start = weights = self.parameters()
        for _ in range(self.steps):
            x = support.detach()
            x.stop_gradient = False
            loss = ((self.apply_weights(weights, x) - values) ** 2).mean()
            slopes = self.gradient(loss, weights, x)
            base = start if self.from_start else weights
            weights = [w - self.rate * g for w, g in zip(base, slopes, strict=True)]
        return self.apply_weights(weights, query)


def uniform(fan_in):
    bound = fan_in**-0.5
    return paddle.ParamAttr(initializer=paddle.nn.initializer.Uniform(-bound, bound))


class MatmulNet(Net):
    """Convolutions as products of gathered windows, which need no care for second order."""

    def apply_weights(self, weights, x):
        for weight, bias in (weights[:2], weights[2:4]):
            padded = paddle.nn.functional.pad(x, [1, 1])
            windows = paddle.stack([padded[:, :, i : i + LENGTH] for i in range(3)], axis=2)
            windows = windows.reshape([x.shape[0], -1, LENGTH])
            x = paddle.tanh(paddle.matmul(weight.reshape([CHANNELS, -1]), windows) + bias.unsqueeze(-1))
        return x.mean(-1) @ weights[4] + weights[5]


def port(*, net=Net, **layers) -> Recipe:
    def optimizer(model):
        return paddle.optimizer.Adam(1e-2, parameters=model.parameters()), None

    return Recipe(
        model=lambda: net(**layers),
        train_data=lambda: tasks(seed=1),
        eval_data=lambda: tasks(seed=2),
        loss=lambda outputs, targets: paddle.nn.functional.mse_loss(outputs, targets[0]),
        optimizer=optimizer,
        metric=Squared,
        higher_order=True,
    )
