"""ArcFace's experiments as recipes (Deng et al., CVPR 2019).

fuxian reproduce arcface/lfw-folds
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from fuxian.papers.arcface import large
from fuxian.papers.arcface.data import PairBatches, Split, TrainBatches, eval_pairs, faces
from fuxian.papers.arcface.formats import Records
from fuxian.papers.arcface.loss import cross_entropy, margin_loss
from fuxian.papers.arcface.metric import metric
from fuxian.papers.arcface.model import CosineHead, IResNet, LinearHead, Recognizer
from fuxian.papers.arcface.settings import (
    FOLDS,
    PAPER,
    PEOPLE,
    FoldSetting,
    Loss,
    PaperSetting,
    for_alignment,
)
from fuxian.recipe import Recipe, call_model

ALIGN_ENTRIES = ("training", "verification")


class FoldNetworks(nn.Layer):
    """A network for each group of folds, trained side by side and sharing nothing."""

    def __init__(self, setting: FoldSetting, classes: list[int], loss: Loss):
        super().__init__()
        head = CosineHead if loss == "arcface" else LinearHead
        self.groups = nn.LayerList(
            [Recognizer(IResNet(setting.network), head(count, setting.network.features)) for count in classes]
        )

    def forward(self, *pictures: Tensor) -> tuple[Tensor, ...]:
        """What each head gives [B, C] for the pictures [B, 3, side, side] of its network."""
        return tuple(group(x) for group, x in zip(self.groups, pictures, strict=True))


def embed(network: nn.Layer, pictures: Tensor) -> Tensor:
    """Unit embeddings [P, E]: of the sum of the picture's and its mirror image's, as in the official test."""
    return F.normalize(network(pictures) + network(paddle.flip(pictures, axis=3)))


def scores(networks: FoldNetworks, inputs: tuple) -> Tensor:
    """The cosine [P] of each pair, by the network that never saw its people, in evaluation mode."""
    first, second, number = inputs
    backbone = networks.groups[int(number[0])].backbone
    backbone.eval()
    with paddle.no_grad():
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
    """The recipe of a claim.

    Args:
        claim: lfw-folds, or a key of ``PAPER``, whose data must be there.
        seed: of the order of the pictures.
        iterations: steps in all; the learning rate falls linearly to 0 over them.
        eval_split: the official pairs, or pairs of people in no fold.
        loss: ``softmax`` is the baseline of equation 1.
        setting: other numbers than the claim's own.
    """
    if claim in PAPER:
        return _at_paper_scale(PAPER[claim], seed=seed, iterations=iterations, loss=loss)
    setting = setting or FOLDS

    # Pictures are read when they are asked for: whoever only predicts on inputs that are given needs none.
    def model() -> FoldNetworks:
        people = None if setting.generated else PEOPLE.get(setting.groups)
        return FoldNetworks(setting, people or faces(setting).classes(setting), loss)

    def forward(networks: FoldNetworks, inputs: tuple) -> Any:
        return networks(*inputs) if networks.training else scores(networks, inputs)

    def losses(outputs: tuple, targets: tuple) -> dict[str, Tensor]:
        each = [
            margin_loss(one, classes, setting.margin) if loss == "arcface" else cross_entropy(one, classes)
            for one, classes in zip(outputs, targets, strict=True)
        ]
        return {"total": sum(each[1:], each[0]), **{f"group_{n}": one for n, one in enumerate(each)}}

    def evaluation() -> PairBatches:
        known = faces(setting)
        return PairBatches(known, eval_pairs(known, eval_split, setting), setting)

    def optimizer(networks: FoldNetworks) -> dict[str, tuple]:
        return {
            f"group_{number}": _sgd(group, setting, iterations)
            for number, group in enumerate(networks.groups)
        }

    return Recipe(
        model=model,
        train_data=lambda: TrainBatches(faces(setting), setting, iterations, seed),
        eval_data=evaluation,
        forward=forward,
        loss=losses,
        optimizer=optimizer,
        metric=metric,
    )


def _sgd(group: nn.Layer, setting: FoldSetting, iterations: int) -> tuple:
    schedule = paddle.optimizer.lr.LambdaDecay(setting.learning_rate, lambda step: 1.0 - step / iterations)
    made = paddle.optimizer.Momentum(
        schedule,
        setting.momentum,
        parameters=group.parameters(),
        weight_decay=setting.weight_decay,
        grad_clip=nn.ClipGradByGlobalNorm(setting.clip),
    )
    return made, schedule


def _at_paper_scale(setting: PaperSetting, *, seed: int, iterations: int, loss: Loss) -> Recipe:
    """Section 3.1: one network and all people's centres, the learning rate divided by 10 at the milestones."""
    network = setting.network
    folder = large.folder_of(setting.data)

    def model() -> Recognizer:
        head = CosineHead if loss == "arcface" else LinearHead
        return Recognizer(IResNet(network), head(large.classes_of(folder), network.features))

    def forward(recognizer: Recognizer, inputs: tuple) -> Tensor:
        if recognizer.training:
            return recognizer(*inputs)
        with paddle.no_grad():
            first, second = (embed(recognizer.backbone, pictures) for pictures in inputs)
            return (first * second).sum(1)

    def losses(outputs: Tensor, targets: tuple) -> Tensor:
        if loss == "softmax":
            return cross_entropy(outputs, targets[0])
        return margin_loss(outputs, targets[0], setting.margin)

    def optimizer(recognizer: Recognizer) -> tuple:
        schedule = paddle.optimizer.lr.MultiStepDecay(setting.learning_rate, list(setting.milestones))
        made = paddle.optimizer.Momentum(
            schedule, setting.momentum, parameters=recognizer.parameters(), weight_decay=setting.weight_decay
        )
        return made, schedule

    return Recipe(
        model=model,
        train_data=lambda: large.RecordBatches(
            Records(folder / "train.rec"), network.side, setting.batch, iterations, seed
        ),
        eval_data=lambda: large.BinBatches(folder / "lfw.bin", network.side),
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
