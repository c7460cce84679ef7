"""The port: two optimizers, a moving average, ragged boxes, 60 MB of weights."""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from paddle import nn

from fuxian.recipe import Recipe, to_arrays

sys.path.insert(0, str(Path(__file__).parent))

from data import CLASSES, assigned, test_data, train_data
from metric import average_precision

WIDE = 3600


class Detector(nn.Layer):
    """[B, 3, 32, 32] -> scores [B, CLASSES, 8, 8] and boxes [B, 4, 8, 8] at each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2D(3, 16, 3, stride=2, padding=1, **initial()),
            nn.ReLU(),
            nn.Conv2D(16, 32, 3, stride=2, padding=1, **initial()),
            nn.GroupNorm(4, 32),
            nn.ReLU(),
            nn.Conv2D(32, 32, 3, padding=1, **initial()),
            nn.ReLU(),
        )
        self.context = nn.Sequential(
            nn.Linear(2048, WIDE, **initial()), nn.ReLU(), nn.Linear(WIDE, 2048, **initial())
        )
        self.head = nn.Conv2D(32, CLASSES + 4, 3, padding=1, **initial())

    def forward(self, pictures):
        seen = self.backbone(pictures)
        seen = nn.functional.relu(seen + self.context(seen.flatten(1)).reshape(seen.shape))
        scores, boxes = paddle.split(self.head(seen), [CLASSES, 4], axis=1)
        return nn.functional.sigmoid(scores), boxes


def initial() -> dict:
    weight = paddle.ParamAttr(initializer=nn.initializer.XavierUniform())
    return {"weight_attr": weight, "bias_attr": paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))}


def loss(outputs, targets):
    scores, stated = outputs
    at, classes, boxes = (paddle.to_tensor(part, scores.dtype) for part in assigned(*to_arrays(targets)))
    scores = scores.clip(1e-6, 1 - 1e-6)
    crossed = -(classes * scores.log() + 0.1 * (1 - classes) * (1 - scores).log())
    size = scores.shape[0]
    named = {"class": crossed.sum() / size, "box": ((stated - boxes).abs() * at).sum() / size}
    return named | {"total": named["class"] + named["box"]}


def optimizers(model):
    rate = paddle.optimizer.lr.CosineAnnealingDecay(0.02, T_max=100)
    wide = [*model.context.parameters(), *model.head.parameters()]
    return {
        "backbone": (
            paddle.optimizer.Momentum(rate, momentum=0.9, parameters=model.backbone.parameters()),
            rate,
        ),
        "head": (paddle.optimizer.Adam(1e-3, parameters=wide), None),
    }


def average(averaged, trained, updates):
    keep = min(0.9, updates / (updates + 10))
    for mean, value in zip(averaged.parameters(), trained.parameters(), strict=True):
        mean.set_value(keep * mean + (1 - keep) * value)


def recipe(claim: str = "boxes", *, seed: int = 0, iterations: int = 100, eval_split: str = "test") -> Recipe:
    return Recipe(
        model=Detector,
        train_data=lambda: train_data(iterations, seed),
        eval_data=lambda: test_data(eval_split),
        loss=loss,
        optimizer=optimizers,
        average=average,
        metric=average_precision,
    )
