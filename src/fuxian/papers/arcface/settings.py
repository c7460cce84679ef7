"""The networks, the margins, and each experiment's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Loss = Literal["arcface", "softmax"]
Gradient = Literal["true", "straight-through"]


@dataclass(frozen=True)
class Network:
    """An IResNet: blocks and channels of its four stages, features of the embedding, side of the pictures."""

    blocks: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    features: int = 512
    side: int = 112
    dropout: float = 0.0

    @property
    def last_side(self) -> int:
        """Side of the last stage's maps: each stage halves, rounding up."""
        return -(-self.side // 2 ** len(self.blocks))


IRESNETS = {
    "r18": Network((2, 2, 2, 2)),
    "r34": Network((3, 4, 6, 3)),
    "r50": Network((3, 4, 14, 3)),
    "r100": Network((3, 13, 30, 3)),
}
"""The paper's networks by the official code's names."""


@dataclass(frozen=True)
class Margin:
    """The scale s and the three margins, angles in radians.

    ``gradient``: ``true`` differentiates equation 4. ``straight-through`` passes the gradient of the shifted cosine on
    to cos(theta) unchanged, as insightface's PyTorch code does for ArcFace, which shifts in place under ``no_grad``:
    the loss is the same, the own class's gradient lacks the factor sin(theta + m2) / sin(theta). CosFace has one
    gradient: its shift is a constant.
    """

    scale: float = 64.0
    m1: float = 1.0
    m2: float = 0.5
    m3: float = 0.0
    gradient: Gradient = "true"


ARCFACE = Margin()
COSFACE = Margin(m2=0.0, m3=0.35)
SPHEREFACE = Margin(m1=1.35, m2=0.0)
"""Table 1's multiplicative margin: SphereFace (m = 4, lambda = 5) is about cos(1.35 theta)."""


@dataclass(frozen=True)
class FoldSetting:
    """Training on LFW itself: networks side by side, each for the folds whose people it never saw.

    ``groups``: the folds of each network. Pictures are LFW's, averaged down to the network's side; ``batch`` is
    a network's pictures a step.

    The margin is the paper's. The scale, 64 there for tens of thousands of people, is 10 for some hundreds: chosen
    among 6, 10, 16 and 32 on pairs of 200 people outside folds 0 to 4, held out of training. Some of them are in
    folds 5 to 9, so that only the first network's half of the test has had no part in the choice.
    """

    network: Network = Network((1, 1, 1, 1), (16, 32, 64, 128), features=128, side=32)
    groups: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
    margin: Margin = Margin(scale=10.0)
    batch: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    clip: float = 5.0
    """Largest norm of a network's gradient; the class centres' is not clipped, as in the official code."""
    generated: int = 0
    """People of generated pictures in place of LFW's; 0: LFW."""


FOLDS = FoldSetting()
PEOPLE = {FOLDS.groups: [854, 774]}
"""How many people of LFW each of the networks is trained on, so that a network is built without the pictures."""


def for_alignment(setting: FoldSetting) -> FoldSetting:
    """The same, small enough for a recording that can be committed, on generated faces."""
    network = replace(setting.network, widths=(4, 4, 8, 8), features=8, side=16)
    return replace(setting, network=network, groups=((0,), (1,)), batch=8, generated=12)


@dataclass(frozen=True)
class PaperSetting:
    """Section 3.1 of the paper: ``data`` is the training set's folder, ``milestones`` the iterations of the decays."""

    network: Network
    data: str
    milestones: tuple[int, ...]
    margin: Margin = ARCFACE
    batch: int = 512
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4


PAPER = {
    "casia-r50-lfw": PaperSetting(replace(IRESNETS["r50"], dropout=0.4), "casia-webface", (20_000, 28_000)),
    "ms1mv2-r100-lfw": PaperSetting(replace(IRESNETS["r100"], dropout=0.4), "ms1mv2", (100_000, 160_000)),
}

THRESHOLD = 0.256
"""The least score at which ``predict`` calls two faces one person: best on the official pairs, all folds together."""
