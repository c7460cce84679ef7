"""Sparse R-CNN's experiments as PyTorch recipes, part for part the counterpart of the port's recipe.py.

fuxian align run sparse-rcnn/coco-r50
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from fuxian.papers.sparse_rcnn import data
from fuxian.papers.sparse_rcnn.recipe import factor, metric
from fuxian.papers.sparse_rcnn.reference.torch_sparse_rcnn import SparseRCNN, loss
from fuxian.papers.sparse_rcnn.settings import ALIGNED, SETTINGS, Setting
from fuxian.recipe import Recipe


class ClippedAdamW(torch.optim.AdamW):
    """AdamW that clips the whole gradient before a step, as the official trainer does."""

    def __init__(self, parameters: list[Any], setting: Setting):
        super().__init__(parameters, lr=setting.learning_rate, weight_decay=setting.weight_decay)
        self.clipped, self.norm = parameters, setting.clip

    def step(self, closure: Any = None) -> Any:
        torch.nn.utils.clip_grad_norm_(self.clipped, self.norm)
        return super().step(closure)


def recipe(
    claim: str = "bccd",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: data.Split = "test",
    stages: int | None = None,
    setting: Setting | None = None,
) -> Recipe:
    """The reference recipe of a claim that begins with random weights; arguments as the port's."""
    numbers = setting or SETTINGS[claim]
    if stages is not None:
        numbers = replace(numbers, network=replace(numbers.network, stages=stages))

    def optimizer(model: SparseRCNN) -> tuple[Any, Any]:
        made = ClippedAdamW([one for one in model.parameters() if one.requires_grad], numbers)
        schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda step: factor(step, numbers, iterations))
        return made, schedule

    return Recipe(
        model=lambda: SparseRCNN(numbers.network),
        train_data=lambda: data.Training(numbers, iterations, seed, data.load(numbers, "train")),
        eval_data=lambda: data.Evaluation(numbers, data.load(numbers, eval_split)),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
    )


def aligned(entry: str = "coco-r50") -> Recipe:
    """What ``fuxian align`` compares: a key of ``ALIGNED``, in training. Both recipes have the same metric."""
    setting = ALIGNED[entry]
    labelled = data.Training(setting, 2, 1, data.load(setting, "train"))
    return replace(recipe(setting=setting), eval_data=lambda: labelled, metric=None)
