"""The numbers of each claim: the official configurations, and those of the scaled run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fuxian.papers.psenet.model import Depth


@dataclass(frozen=True)
class Setting:
    """What a claim's network, data and training are. Sizes are in pixels."""

    depth: Depth = 50
    width: int = 64
    pyramid: int = 256
    kernels: int = 7
    smallest: float = 0.4
    """The smallest kernel's side ratio, m in the paper."""

    short_side: int = 736
    """Pictures are scaled to this before they are augmented, and for the test."""
    crop: int = 736
    batch: int = 16
    rendered: float = 0.0
    """The share of training pictures that are rendered text."""
    split: Literal["official", "own"] = "official"
    """``own``: 400 of the official test part's pictures train, the other 100 test."""

    optimizer: Literal["SGD", "Adam"] = "SGD"
    learning_rate: float = 1e-3
    momentum: float = 0.99
    weight_decay: float = 5e-4

    min_area: float = 16
    min_score: float = 0.85
    """Instances of fewer pixels, or a lower mean score of the text, are left out."""


SETTINGS = {
    "ic15-r50": Setting(),
    "ic15-own-split": Setting(
        depth=18,
        width=16,
        pyramid=32,
        short_side=320,
        crop=128,
        batch=4,
        rendered=0.25,
        split="own",
        optimizer="Adam",
        learning_rate=2e-3,
        weight_decay=0.0,
        min_area=5,
        min_score=0.7,
    ),
}
ALIGNED = Setting(depth=50, short_side=64, crop=64, batch=2, rendered=1.0)
"""What ``fuxian align`` compares: the whole network on two small rendered pictures."""
