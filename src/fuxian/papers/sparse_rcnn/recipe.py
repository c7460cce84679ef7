"""Sparse R-CNN's experiments as recipes (Sun et al., CVPR 2021, section 4).

fuxian reproduce sparse-rcnn/bccd
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import paddle
from paddle import nn

from fuxian.metrics import AveragePrecision, DetectedImage
from fuxian.papers.sparse_rcnn import data
from fuxian.papers.sparse_rcnn.boxes import to_coco
from fuxian.papers.sparse_rcnn.detect import detections
from fuxian.papers.sparse_rcnn.loss import NOTHING, loss
from fuxian.papers.sparse_rcnn.model import SparseRCNN
from fuxian.papers.sparse_rcnn.settings import ALIGNED, RANDOM, SETTINGS, Setting
from fuxian.papers.sparse_rcnn.start import load_backbone
from fuxian.recipe import Recipe

ALIGN_ENTRIES = tuple(ALIGNED)


def recipe(
    claim: str = "bccd",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: data.Split = "test",
    stages: int | None = None,
    start: str | None = None,
    setting: Setting | None = None,
) -> Recipe:
    """The recipe of a claim.

    Args:
        claim: a key of ``SETTINGS``.
        seed: of the stream of training batches.
        iterations: the length of that stream, over which the learning rate falls.
        eval_split: of COCO both are val2017.
        stages: of the dynamic head; the claim's own if absent. 1 is the ablation.
        start: what the ResNet begins with: a file of torchvision's weights, an entry of weights.toml, or "random"; the
            claim's own if absent.
        setting: other numbers than the claim's own.
    """
    numbers = setting or SETTINGS[claim]
    if stages is not None:
        numbers = replace(numbers, network=replace(numbers.network, stages=stages))

    def model() -> SparseRCNN:
        made = SparseRCNN(numbers.network)
        begun = numbers.start if start is None else start
        if begun != RANDOM:
            load_backbone(made, begun)
        return made

    return Recipe(
        model=model,
        train_data=lambda: data.Training(numbers, iterations, seed, data.load(numbers, "train")),
        eval_data=lambda: data.Evaluation(numbers, data.load(numbers, eval_split)),
        loss=loss,
        optimizer=lambda model: optimizer(model, numbers, iterations),
        metric=metric,
    )


def optimizer(model: SparseRCNN, setting: Setting, iterations: int) -> tuple[Any, Any]:
    """AdamW with decay on every parameter and a bound on the whole gradient's norm."""
    schedule = paddle.optimizer.lr.LambdaDecay(
        setting.learning_rate, lambda step: factor(step, setting, iterations)
    )
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    made = paddle.optimizer.AdamW(
        schedule,
        parameters=trained,
        weight_decay=setting.weight_decay,
        grad_clip=nn.ClipGradByGlobalNorm(setting.clip),
    )
    return made, schedule


def factor(step: int, setting: Setting, iterations: int) -> float:
    """Of the learning rate at a step, counted from 0: linear warm-up from 0.01, then a tenth after each milestone."""
    passed = sum(step >= round(part * iterations) for part in setting.milestones)
    begun = min(step / max(setting.warmup, 1), 1.0)
    return (0.01 * (1 - begun) + begun) * 0.1**passed


def metric(stage: int = -1) -> AveragePrecision:
    """COCO's average precision of what a stage found, by default the last."""

    def contribution(outputs: tuple, targets: tuple, _: Any) -> Iterator[DetectedImage]:
        logits_NPC, boxes_NP4 = (output[stage] for output in outputs)
        for logits, found, true, kinds, crowd, areas, size, seen in zip(
            logits_NPC, boxes_NP4, *targets, strict=True
        ):
            real = np.asarray(kinds) != NOTHING
            made = detections(logits, found, seen, size)
            yield DetectedImage(
                boxes=to_coco(made.boxes),
                scores=made.scores,
                classes=made.classes,
                true_boxes=to_coco(np.asarray(true)[real]),
                true_classes=np.asarray(kinds)[real],
                crowd=np.asarray(crowd)[real],
                areas=np.asarray(areas)[real],
            )

    return AveragePrecision(contribution)


def aligned(entry: str = "coco-r50") -> Recipe:
    """What ``fuxian align`` compares: a key of ``ALIGNED``, in training. Both recipes have the same metric."""
    setting = ALIGNED[entry]
    labelled = data.Training(setting, 2, 1, data.load(setting, "train"))
    return replace(recipe(setting=setting), eval_data=lambda: labelled, metric=None)
