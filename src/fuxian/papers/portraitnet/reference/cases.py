"""The parity case: weights and batches that the official code and the port are both given.

They are drawn with numpy from the names of the official code's parameters, in its layout: neither framework is needed
to make them, and only sketches of results need be kept.
"""

from __future__ import annotations

import hashlib

import numpy as np

SIDE, BATCH, STEPS = 64, 2, 5


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


def drawn_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64, spread so that activations keep their size through all layers."""
    noise = _generator(name).standard_normal(shape)
    if name.endswith("running_var"):
        return 1.0 + 0.2 * np.tanh(noise)
    if name.endswith(("bias", "running_mean")):
        return 0.1 * noise
    if len(shape) == 1:
        return 1.0 + 0.1 * noise
    # Of a transposed convolution of stride 2, four taps of each channel meet in a pixel.
    fan = 4 * shape[0] if name.startswith("deconv") else int(np.prod(shape[1:]))
    return noise * np.sqrt(2 / fan)


def batch(step: int = 0) -> tuple[np.ndarray, ...]:
    """Augmented and original pictures float64 [B, 3, side, side]; mask, of which a corner is ignored, and edge int64
    [B, side, side]."""
    rng = _generator(f"batch/{step}")
    original = rng.normal(0, 1, (BATCH, 3, SIDE, SIDE))
    augmented = 0.7 * original + 0.3 * rng.normal(0, 1, original.shape)
    mask = rng.integers(0, 2, (BATCH, 8, 8)).repeat(SIDE // 8, 1).repeat(SIDE // 8, 2)
    edge = (mask != np.roll(mask, 1, 2)).astype(np.int64)
    mask[:, :4, :4] = 255
    return augmented, original, mask, edge


def placements() -> list[tuple[int, int, int, tuple[float, ...]]]:
    """Width, height, the network's side, and the four draws in [0, 1) that the official placement makes."""
    rng = _generator("placements")
    return [
        (int(w), int(h), side, tuple(rng.random(4)))
        for (w, h), side in zip(rng.integers(60, 900, (6, 2)), (224, 96) * 3, strict=True)
    ]


def masked_picture(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 [H, W, 3], and a mask, uint8 [H, W], of smooth noise; wide, high and square ones."""
    rng = _generator(f"picture/{number}")
    height, width = ((120, 90), (90, 121), (96, 96))[number % 3]
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    picture = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.ascontiguousarray(picture), (picture[..., 0] > 120).astype(np.uint8)
