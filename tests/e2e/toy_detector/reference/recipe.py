"""The same parts in PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from fuxian.recipe import Recipe, to_arrays

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import CLASSES, assigned, test_data, train_data
from metric import average_precision

WIDE = 3600


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GroupNorm(4, 32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
        )
        self.context = nn.Sequential(nn.Linear(2048, WIDE), nn.ReLU(), nn.Linear(WIDE, 2048))
        self.head = nn.Conv2d(32, CLASSES + 4, 3, padding=1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, pictures):
        seen = self.backbone(pictures)
        seen = torch.relu(seen + self.context(seen.flatten(1)).reshape(seen.shape))
        scores, boxes = torch.split(self.head(seen), [CLASSES, 4], dim=1)
        return torch.sigmoid(scores), boxes


def loss(outputs, targets):
    scores, stated = outputs
    at, classes, boxes = (torch.from_numpy(part).to(scores.dtype) for part in assigned(*to_arrays(targets)))
    scores = scores.clip(1e-6, 1 - 1e-6)
    crossed = -(classes * scores.log() + 0.1 * (1 - classes) * (1 - scores).log())
    size = scores.shape[0]
    named = {"class": crossed.sum() / size, "box": ((stated - boxes).abs() * at).sum() / size}
    return named | {"total": named["class"] + named["box"]}


def optimizers(model):
    backbone = torch.optim.SGD(model.backbone.parameters(), 0.02, momentum=0.9)
    wide = [*model.context.parameters(), *model.head.parameters()]
    return {
        "backbone": (backbone, torch.optim.lr_scheduler.CosineAnnealingLR(backbone, T_max=100)),
        "head": (torch.optim.Adam(wide, 1e-3), None),
    }


def average(averaged, trained, updates):
    keep = min(0.9, updates / (updates + 10))
    for mean, value in zip(averaged.parameters(), trained.parameters(), strict=True):
        mean.copy_(keep * mean + (1 - keep) * value)


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
