"""ArcFace's experiments as PyTorch recipes, part for part the counterpart of the port's recipe.py.

fuxian align run fuxian.papers.arcface.recipe:aligned fuxian.papers.arcface.reference.recipe:aligned
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuxian.papers.arcface.data import PairBatches, Split, TrainBatches, eval_pairs, faces
from fuxian.papers.arcface.metric import metric
from fuxian.papers.arcface.reference.torch_arcface import Head, IResNet, LinearHead, margin_loss
from fuxian.papers.arcface.settings import FOLDS, FoldSetting, Loss, for_alignment
from fuxian.recipe import Recipe, call_model


class Recognizer(nn.Module):
    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.backbone(pictures))


class FoldNetworks(nn.Module):
    def __init__(self, setting: FoldSetting, classes: list[int], loss: Loss):
        super().__init__()
        head = Head if loss == "arcface" else LinearHead
        features = setting.network.features
        self.groups = nn.ModuleList(
            [Recognizer(IResNet(setting.network), head(count, features)) for count in classes]
        )

    def forward(self, *pictures: Tensor) -> tuple[Tensor, ...]:
        return tuple(group(x) for group, x in zip(self.groups, pictures, strict=True))


class ClippedSGD(torch.optim.SGD):
    """SGD that clips the gradient of the network, not that of the class centres, as train_v2.py does before a step."""

    def __init__(self, group: Recognizer, setting: FoldSetting):
        super().__init__(
            group.parameters(),
            lr=setting.learning_rate,
            momentum=setting.momentum,
            weight_decay=setting.weight_decay,
        )
        self.clipped, self.norm = list(group.backbone.parameters()), setting.clip

    def step(self, closure: Any = None) -> Any:
        torch.nn.utils.clip_grad_norm_(self.clipped, self.norm)
        return super().step(closure)


def embed(network: nn.Module, pictures: Tensor) -> Tensor:
    return F.normalize(network(pictures) + network(pictures.flip(3)))


def scores(networks: FoldNetworks, inputs: tuple) -> Tensor:
    """The cosine [P] of each pair, by the network that never saw its people, in evaluation mode."""
    first, second, number = inputs
    backbone = networks.groups[int(number[0])].backbone.eval()
    with torch.no_grad():
        return (embed(backbone, first) * embed(backbone, second)).sum(1)


def recipe(
    claim: str = "lfw-folds",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: Split = "test",
    loss: Loss = "arcface",
    setting: FoldSetting | None = None,
) -> Recipe:
    """The reference recipe of a claim; the parameters are those of the port's recipe."""
    setting = setting or FOLDS
    known = faces(setting)

    def forward(networks: FoldNetworks, inputs: tuple) -> Any:
        return networks(*inputs) if networks.training else scores(networks, inputs)

    def losses(outputs: tuple, targets: tuple) -> dict[str, Tensor]:
        each = [
            margin_loss(one, classes, scale=setting.margin.scale, m2=setting.margin.m2)
            if loss == "arcface"
            else F.cross_entropy(one, classes)
            for one, classes in zip(outputs, targets, strict=True)
        ]
        return {"total": sum(each[1:], each[0]), **{f"group_{n}": one for n, one in enumerate(each)}}

    def optimizer(networks: FoldNetworks) -> dict[str, tuple]:
        made = {}
        for number, group in enumerate(networks.groups):
            sgd = ClippedSGD(group, setting)
            made[f"group_{number}"] = (
                sgd,
                torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 1.0 - step / iterations),
            )
        return made

    return Recipe(
        model=lambda: FoldNetworks(setting, known.classes(setting), loss),
        train_data=lambda: TrainBatches(known, setting, iterations, seed),
        eval_data=lambda: PairBatches(known, eval_pairs(known, eval_split, setting), setting),
        forward=forward,
        loss=losses,
        optimizer=optimizer,
        metric=metric,
    )


def aligned(entry: str = "training") -> Recipe:
    """What ``fuxian align`` compares: small networks on generated faces, in training or in verification."""
    setting = for_alignment(FOLDS)
    parts = recipe(setting=setting)
    if entry == "verification":
        return replace(parts, forward=scores, train_data=None, loss=None, optimizer=None)
    labelled = TrainBatches(faces(setting), setting, length=2, seed=1)
    return replace(parts, forward=call_model, eval_data=lambda: labelled, metric=None)
