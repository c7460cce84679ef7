"""The numbers of each claim: the official configuration, and those of the scaled run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Start = Literal["imagenet", "random"]


@dataclass(frozen=True)
class Setting:
    """What a claim's data and training are. The network is the paper's in every one."""

    data: Literal["eg1800", "supervise-portrait", "portraits", "generated"] = "eg1800"
    side: int = 224
    batch: int = 64
    most_angle: float = 45.0
    """Degrees that a training picture is turned by, at most, either way."""
    scales: tuple[float, float] = (0.5, 1.5)
    """Least and largest size of a training picture, in sides of what the network is given."""
    most_shift: float = 0.25
    """How far off its middle a training picture is turned and scaled about, in sides."""
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    edge_weight: float = 0.1
    consistency_weight: float = 2.0
    schedule: Literal["stepped", "linear"] = "stepped"
    """``stepped``: times 0.95 every 20 epochs, as official. ``linear``: falls to a hundredth over the training."""
    start: Start = "imagenet"
    """What the encoder begins with."""


SETTINGS = {
    "eg1800": Setting(),
    "supervise-portrait": Setting(data="supervise-portrait"),
    "portraits": Setting(
        data="portraits",
        side=64,
        batch=8,
        most_angle=15.0,
        scales=(0.8, 1.3),
        most_shift=0.1,
        schedule="linear",
    ),
}
ALIGNED = replace(Setting(), data="generated", side=64, batch=2, start="random")
"""What ``fuxian align`` compares: the whole network on generated portraits."""
