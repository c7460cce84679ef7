"""PSENet's experiments as recipes (Wang et al., CVPR 2019, section 4).

fuxian reproduce psenet/ic15-own-split
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import paddle

from fuxian.metrics import Hmean
from fuxian.papers.psenet import data, protocol
from fuxian.papers.psenet.detect import detect
from fuxian.papers.psenet.loss import loss
from fuxian.papers.psenet.model import PSENet
from fuxian.papers.psenet.settings import ALIGNED, SETTINGS, Setting
from fuxian.recipe import Recipe


def recipe(
    claim: str = "ic15-own-split",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: data.Split = "test",
    kernels: int | None = None,
    setting: Setting | None = None,
) -> Recipe:
    """The recipe of a claim.

    Args:
        claim: a key of ``SETTINGS``.
        seed: of the stream of training batches.
        iterations: the length of that stream, over which the scaled run's learning rate falls.
        eval_split: "validation" is rendered text.
        kernels: how many maps the evaluation grows instances through, from the largest on; all if absent. 1 takes
            the text map's connected components, the segmentation that the paper argues against.
        setting: other numbers than the claim's own.
    """
    numbers = setting or SETTINGS[claim]
    return Recipe(
        model=lambda: PSENet(
            numbers.depth, width=numbers.width, pyramid=numbers.pyramid, kernels=numbers.kernels
        ),
        train_data=lambda: data.training(numbers, length=iterations, seed=seed),
        eval_data=lambda: data.evaluation(numbers, eval_split),
        loss=loss,
        optimizer=lambda model: optimizer(model, numbers, iterations),
        metric=lambda: metric(numbers, kernels),
    )


def optimizer(model: PSENet, setting: Setting, iterations: int) -> tuple[Any, Any]:
    """SGD with momentum, divided by 10 after a third and two thirds of the training (of 600 epochs, 200 and 400), as
    official; in the scaled run Adam with a rate that falls linearly to 1 % of its first value."""
    first = setting.learning_rate
    if setting.optimizer == "Adam":
        falling = paddle.optimizer.lr.PolynomialDecay(
            first, max(iterations, 1), end_lr=first / 100, power=1.0
        )
        return paddle.optimizer.Adam(falling, parameters=model.parameters()), falling
    stepped = paddle.optimizer.lr.MultiStepDecay(first, milestones(iterations), gamma=0.1)
    return (
        paddle.optimizer.Momentum(
            stepped, setting.momentum, parameters=model.parameters(), weight_decay=setting.weight_decay
        ),
        stepped,
    )


def milestones(iterations: int) -> list[int]:
    return [max(1, iterations // 3), max(2, 2 * iterations // 3)]


def metric(setting: Setting, kernels: int | None = None) -> Hmean:
    """Precision, recall and hmean of ICDAR 2015, with counts of each picture."""

    def counts(logits_NKHW: np.ndarray, targets: tuple, _: Any) -> tuple[list[int], list[int], list[int]]:
        (size,), polygons, ignored = targets
        found = detect(
            logits_NKHW[0],
            (int(size[0]), int(size[1])),
            min_area=setting.min_area,
            min_score=setting.min_score,
            kernels=kernels,
        )
        matched = protocol.match(list(polygons), list(ignored), [one.polygon for one in found])
        return [matched.matched], [matched.truths], [matched.detections]

    return Hmean(counts)


def aligned(claim: str = "ic15-r50") -> Recipe:
    """What ``fuxian align`` compares: ResNet-50 in full width, whatever the claim, on rendered pictures of 64 x 64.

    Without evaluation, whose targets are words and not maps; tests/papers/psenet holds that to the official script.
    """
    return replace(recipe("ic15-r50", setting=ALIGNED), eval_data=None, metric=None)
