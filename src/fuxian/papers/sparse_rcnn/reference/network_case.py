"""Weights and a batch for the whole ResNet-50 network, the same on every machine; what is compared is sketched."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np

from fuxian.align.sketch import sketch

CONFIG = "sparsercnn.res50.100pro.3x.yaml"
CLASSES = 80
SIZES = ((64, 96), (57, 70))
"""Heights and widths of the pictures; the second is padded."""
OBJECTS = (5, 3)


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:12], 16))


def drawn_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64, by the official code's name and layout; boxes move so far that every level of the pyramid is used."""
    rng = _generator(name)
    if name == "init_proposal_boxes.weight":
        return rng.uniform(0.1, 0.9, shape)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) == 1:
        if name.endswith("class_logits.bias"):
            return rng.normal(-3, 0.5, shape)
        scale = "norm" in name.split(".")[-2] or name.split(".")[-2].isdigit()
        return (1.0 if scale and name.endswith("weight") else 0.0) + rng.normal(0, 0.1, shape)
    if name.endswith("bboxes_delta.weight"):
        return rng.normal(0, 0.12, shape)
    gain = 2.0 if len(shape) == 4 and "bottom_up" in name else 1.0
    spread = math.sqrt(gain / math.prod(shape[1:])) if "proposal" not in name else 1.0
    # In one go: 106 million numbers take seconds.
    made = rng.standard_normal(shape)
    made *= spread
    return made


def pictures() -> list[np.ndarray]:
    """float64 [3, H, W] each, RGB from 0 to 255."""
    rng = _generator("pictures")
    return [rng.uniform(0, 255, (3, height, width)) for height, width in SIZES]


def objects() -> list[tuple[np.ndarray, np.ndarray]]:
    """Corners float64 [G, 4] in pixels and classes int64 [G] of each picture."""
    rng = _generator("objects")
    made = []
    for (height, width), count in zip(SIZES, OBJECTS, strict=True):
        low = rng.uniform(0, 0.6, (count, 2))
        high = low + rng.uniform(0.1, 0.4, (count, 2))
        corners = np.concatenate([low, high], 1) * (width, height, width, height)
        made.append((corners, rng.integers(0, CLASSES, count)))
    return made


def sketches(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What of the arrays is recorded."""
    return {name: sketch(array) for name, array in found.items()}
