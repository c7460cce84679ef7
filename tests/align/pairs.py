"""A small pair of recipes, the same network in both frameworks, with a switch for each planted mistake."""

from __future__ import annotations

import numpy as np
import paddle
import torch

from fuxian.recipe import Recipe


class Accuracy:
    """Top-1 accuracy."""

    def __init__(self) -> None:
        self.hits: list[float] = []

    def update(self, outputs, targets) -> None:
        self.hits += (outputs.argmax(1) == targets[0]).astype(float).tolist()

    def figures(self, selection=None) -> dict[str, float]:
        return {"top1": float(np.mean(self.hits))}

    def examples(self) -> dict[str, list[float]]:
        return {"top1": self.hits}


def batches(seed: int):
    random = np.random.default_rng(seed)
    return [
        {
            "inputs": (random.standard_normal((size, 3, 8, 8)).astype("float32"),),
            "targets": (random.integers(0, 5, size),),
        }
        for size in (4, 4, 2)
    ]


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.bn = torch.nn.BatchNorm2d(8)
        self.square = torch.nn.Linear(8, 8)
        self.drop = torch.nn.Dropout(0.3)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        x = x.mean((2, 3))
        x = torch.nn.functional.gelu(self.square(x))
        return self.head(self.drop(x))


def reference() -> Recipe:
    def optimizer(model):
        adam = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
        return adam, torch.optim.lr_scheduler.StepLR(adam, 3, 0.5)

    return Recipe(
        model=TorchNet,
        train_data=lambda: batches(1),
        eval_data=lambda: batches(2),
        loss=lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=Accuracy,
    )


def as_torch(fan_in: int) -> paddle.ParamAttr:
    bound = fan_in**-0.5
    return paddle.ParamAttr(initializer=paddle.nn.initializer.Uniform(-bound, bound))


class PaddleNet(paddle.nn.Layer):
    def __init__(self, *, epsilon=1e-5, approximate=False, transposed=False, detached=False, rate=0.3, momentum=0.9,
                 relu=True) -> None:  # fmt: skip
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 8, 3, padding=1, weight_attr=as_torch(27), bias_attr=as_torch(27))
        self.bn = paddle.nn.BatchNorm2D(8, epsilon=epsilon, momentum=momentum)
        self.square = paddle.nn.Linear(8, 8, as_torch(8), as_torch(8))
        self.drop = paddle.nn.Dropout(rate)
        self.head = paddle.nn.Linear(8, 5, as_torch(8), as_torch(8))
        self.approximate, self.transposed, self.detached, self.relu = approximate, transposed, detached, relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        if self.relu:
            x = paddle.nn.functional.relu(x)
        x = x.mean((2, 3))
        if self.detached:
            x = x.detach()
        y = x @ self.square.weight.T + self.square.bias if self.transposed else self.square(x)
        return self.head(self.drop(paddle.nn.functional.gelu(y, approximate=self.approximate)))


def port(
    *, smoothing=0.0, decay=0.05, gamma=0.5, seed=2, metric=Accuracy, beta2=0.999, nan=False, **net
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.StepDecay(1e-3, 3, gamma)
        adam = paddle.optimizer.AdamW(
            schedule, beta2=beta2, parameters=model.parameters(), weight_decay=decay
        )
        return adam, schedule

    def loss(outputs, targets):
        value = paddle.nn.functional.cross_entropy(outputs, targets[0], label_smoothing=smoothing)
        return value * float("nan") if nan else value

    return Recipe(
        model=lambda: PaddleNet(**net),
        train_data=lambda: batches(1),
        eval_data=lambda: batches(seed),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
    )
