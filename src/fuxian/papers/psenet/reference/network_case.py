"""Weights and a batch for the whole ResNet-50 network, the same on every machine; what is compared is sketched."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np

from fuxian.align.sketch import sketch

SHAPE = (2, 64, 96)
KERNELS = 7


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """float64 arrays of the given shapes by PyTorch's names, each from a seed made of its name."""
    made = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:12], 16))
        if len(shape) == 4:
            made[name] = rng.normal(0, math.sqrt(2 / (shape[0] * shape[2] * shape[3])), shape)
        elif name.endswith(("running_var", "bn.weight")) or ("bn" in name and name.endswith("weight")):
            made[name] = rng.uniform(0.5, 1.5, shape)
        else:
            made[name] = rng.normal(0, 0.1, shape)
    return made


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures float64 [2, 3, 64, 96], text, kernels and training mask int64 of 0 and 1; the second has no text."""
    rng = np.random.default_rng(50)
    count, height, width = SHAPE

    def blocks(share: float, side: int) -> np.ndarray:
        return np.kron(
            rng.random((count, height // side, width // side)) < share, np.ones((side, side), bool)
        )

    text = blocks(0.3, 16)
    text[1] = False
    kernels = [text]
    for _ in range(KERNELS - 1):
        kernels.append(kernels[-1] & blocks(0.9, 4))
    mask = blocks(0.9, 16)
    return (
        rng.standard_normal((count, 3, height, width)),
        text.astype(np.int64),
        np.stack(kernels[1:], 1).astype(np.int64),
        mask.astype(np.int64),
    )


def sketches(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A sketch of each array (see fuxian/align/sketch.py)."""
    return {name: sketch(np.asarray(array, np.float64)) for name, array in found.items()}
