"""The networks and each experiment's numbers."""

from __future__ import annotations

from dataclasses import dataclass


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
