"""The numbers of each claim: the official configurations, and those of the scaled run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from fuxian.papers.sparse_rcnn.model import Network

RANDOM = "random"
"""A ResNet that begins with no weights of others."""


@dataclass(frozen=True)
class Crop:
    """The crop that half of the training pictures get: scaled to one of ``short_sides``, then cut to ``least`` to
    ``most`` pixels in each direction."""

    short_sides: tuple[int, ...] = (400, 500, 600)
    least: int = 384
    most: int = 600


@dataclass(frozen=True)
class Setting:
    """A claim's network, data and training, by default those of ``sparsercnn.res50.100pro.3x``. Sides in pixels."""

    network: Network = field(default_factory=Network)
    data: Literal["coco", "bccd", "generated"] = "coco"
    start: str = "resnet50-imagenet"
    """The entry of weights.toml that the ResNet begins with, or ``RANDOM``."""
    short_sides: tuple[int, ...] = tuple(range(480, 801, 32))
    """Training pictures are scaled to one of these by their shorter side."""
    test_side: int = 800
    longest: int = 1333
    crop: Crop | None = None
    upside_down: bool = False
    """Whether training pictures are also flipped upside down, half of them."""
    batch: int = 16
    test_batch: int = 1
    learning_rate: float = 2.5e-5
    weight_decay: float = 1e-4
    milestones: tuple[float, ...] = (210 / 270, 250 / 270)
    """Parts of the training after which the learning rate is divided by 10."""
    warmup: int = 1000
    """Steps over which the learning rate rises from a hundredth."""
    clip: float = 1.0
    """Largest norm of the whole gradient."""


SETTINGS = {
    "coco-r50-100": Setting(),
    "coco-r50-300": Setting(Network(proposals=300), crop=Crop()),
    "coco-r101-100": Setting(Network(depth=101), start="resnet101-imagenet"),
    "coco-r101-300": Setting(Network(depth=101, proposals=300), start="resnet101-imagenet", crop=Crop()),
    "bccd": Setting(
        Network(
            classes=3,
            depth=18,
            width=16,
            norm="batch",
            frozen=0,
            proposals=40,
            hidden=32,
            attention_heads=4,
            feedforward=64,
            dynamic=8,
        ),
        data="bccd",
        start=RANDOM,
        short_sides=(112, 120, 128),
        test_side=120,
        longest=256,
        upside_down=True,
        batch=4,
        test_batch=8,
        learning_rate=0.001,
        warmup=100,
        milestones=(0.75, 0.9),
    ),
}
_ALIGNED = Setting(
    Network(
        classes=5,
        depth=50,
        width=8,
        proposals=12,
        hidden=32,
        attention_heads=4,
        feedforward=64,
        dynamic=8,
    ),
    data="generated",
    start=RANDOM,
    short_sides=(64,),
    test_side=64,
    longest=96,
    batch=2,
    learning_rate=2.5e-4,
    warmup=2,
)
ALIGNED = {
    "coco-r50": _ALIGNED,
    "bccd": replace(
        _ALIGNED,
        network=replace(_ALIGNED.network, depth=18, width=4, norm="batch", frozen=0, stages=2),
        longest=64,
    ),
}
"""What ``fuxian align`` compares on generated pictures, in few channels: all layers of ResNet-50 and all six stages
with frozen normalisation; two stages on a ResNet-18 that is normalised by its batches, whose sizes do not change."""
