"""PSENet's experiments as PyTorch recipes, part for part the counterpart of the port's recipe.py.

fuxian align run psenet/ic15-r50
"""

from __future__ import annotations

from dataclasses import replace

import torch

from fuxian.papers.psenet import data
from fuxian.papers.psenet.recipe import metric, milestones
from fuxian.papers.psenet.reference.torch_psenet import PSENet, loss
from fuxian.papers.psenet.settings import ALIGNED, SETTINGS, Setting
from fuxian.recipe import Recipe


def recipe(
    claim: str = "ic15-own-split",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: data.Split = "test",
    setting: Setting | None = None,
) -> Recipe:
    """The reference recipe of a claim; arguments as the port's."""
    numbers = setting or SETTINGS[claim]

    def optimizer(model):
        first = numbers.learning_rate
        if numbers.optimizer == "Adam":
            adam = torch.optim.Adam(model.parameters(), lr=first)
            most = max(iterations, 1)
            falling = torch.optim.lr_scheduler.LambdaLR(
                adam, lambda step: 0.99 * (1 - min(step, most) / most) + 0.01
            )
            return adam, falling
        sgd = torch.optim.SGD(
            model.parameters(), lr=first, momentum=numbers.momentum, weight_decay=numbers.weight_decay
        )
        return sgd, torch.optim.lr_scheduler.MultiStepLR(sgd, milestones(iterations), gamma=0.1)

    return Recipe(
        model=lambda: PSENet(
            numbers.depth, width=numbers.width, pyramid=numbers.pyramid, kernels=numbers.kernels
        ),
        train_data=lambda: data.training(numbers, length=iterations, seed=seed),
        eval_data=lambda: data.evaluation(numbers, eval_split),
        loss=loss,
        optimizer=optimizer,
        metric=lambda: metric(numbers),
    )


def aligned(claim: str = "ic15-r50") -> Recipe:
    """What ``fuxian align`` compares."""
    return replace(recipe("ic15-r50", setting=ALIGNED), eval_data=None, metric=None)
