"""Waveforms: noisy sines, squares, triangles and sawteeth, drawn from numpy seeds. Replace it by the paper's data.

Read by the port and by the reference, so that both see the same arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLES = 64
CLASSES = 4
NOISE = 0.4
TEST_EXAMPLES = 2000
TEST_STREAMS = {"validation": 1_000_001, "test": 1_000_002}


class Waveforms(Sequence):
    """Batches of waveforms; batch ``i`` of a stream is always the same.

    A batch's inputs are (x,) with x [batch, 1, SAMPLES] float32; its targets are (y,) with y [batch] int64.
    """

    def __init__(self, batches: int, size: int, stream: int):
        self.batches, self.size, self.stream = batches, size, stream

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.batches:
            raise IndexError(index)
        random = np.random.default_rng((self.stream, index))
        y = random.integers(0, CLASSES, self.size)
        cycles = random.uniform(2, 4, (self.size, 1))
        phase = random.uniform(0, 1, (self.size, 1))
        turn = (cycles * np.linspace(0, 1, SAMPLES, endpoint=False) + phase) % 1
        shapes = np.stack(
            [np.sin(2 * np.pi * turn), np.sign(0.5 - turn), 4 * abs(turn - 0.5) - 1, 2 * turn - 1]
        )
        x = shapes[y, np.arange(self.size)] + NOISE * random.standard_normal(turn.shape)
        return {"inputs": (x[:, None].astype(np.float32),), "targets": (y.astype(np.int64),)}


def train_data(batches: int, seed: int) -> Waveforms:
    return Waveforms(batches, 64, seed)


def test_data(split: str) -> Waveforms:
    """The split "validation" or "test"."""
    return Waveforms(TEST_EXAMPLES // 200, 200, TEST_STREAMS[split])
