"""The paper's data and metric in numpy: read by the port and by the reference, so that both see the same arrays.

Pictures of four textures (stripes across, stripes down, checks, rings) under noise, drawn from numpy seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuxian.metrics import Mean

SIDE = 12
CLASSES = 4
NOISE = 1.5
STREAMS = {"validation": 1_000_001, "test": 1_000_002}


class Textures(Sequence):
    """Batch ``i`` of a stream is always the same: x [size, 1, SIDE, SIDE] float32, y [size] int64."""

    def __init__(self, batches: int, size: int, stream: int):
        self.batches, self.size, self.stream = batches, size, stream

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.batches:
            raise IndexError(index)
        random = np.random.default_rng((self.stream, index))
        y = random.integers(0, CLASSES, self.size)
        frequency = random.uniform(1.0, 2.0, (self.size, 1, 1))
        shift = random.uniform(0, 2 * np.pi, (self.size, 1, 1))
        across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
        radius = np.hypot(across - SIDE / 2, down - SIDE / 2)
        wave_across, wave_down = np.sin(frequency * across + shift), np.sin(frequency * down + shift)
        kinds = np.stack(
            [wave_down, wave_across, wave_across * wave_down, np.sin(frequency * radius + shift)]
        )
        x = kinds[y, np.arange(self.size)] + NOISE * random.standard_normal((self.size, SIDE, SIDE))
        return {"inputs": (x[:, None].astype(np.float32),), "targets": (y,)}


def train_data(batches: int, seed: int) -> Textures:
    return Textures(batches, 32, seed)


def eval_data(split: str) -> Textures:
    """2,000 pictures of the split "validation" or "test"."""
    return Textures(10, 200, STREAMS[split])


def accuracy() -> Mean:
    """The share of pictures whose largest output is their class."""

    def right(outputs: np.ndarray, targets: tuple[np.ndarray], meta: object) -> dict[str, np.ndarray]:
        """``outputs`` [size, CLASSES], ``targets`` ([size],)."""
        return {"accuracy": outputs.argmax(-1) == targets[0]}

    return Mean(right)
