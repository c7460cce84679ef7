"""The parity cases: networks, margins, and the weights and batches that both implementations are given.

Weights and batches are drawn with numpy from the names of the official code's parameters, in its layout: neither
framework is needed to make them, and only sketches of results need be kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fuxian.papers.arcface.settings import ARCFACE, COSFACE, Margin

CLASSES = 30
BATCH = 4
STEPS = 5
LEARNING_RATE = 0.1
OFFICIAL_ARCFACE = Margin(ARCFACE.scale, m2=ARCFACE.m2, gradient="straight-through")


@dataclass(frozen=True)
class Case:
    """A network of the official code by its name there, on pictures of ``side`` pixels, and the margin it is given."""

    network: str
    side: int
    margin: Margin


# The widest networks see small pictures: every layer is the paper's, and float64 on them stays a matter of seconds.
CASES = {
    "r18": Case("r18", 112, OFFICIAL_ARCFACE),
    "r34": Case("r34", 32, COSFACE),
    "r50": Case("r50", 32, OFFICIAL_ARCFACE),
    "r100": Case("r100", 32, OFFICIAL_ARCFACE),
    "mbf": Case("mbf", 112, OFFICIAL_ARCFACE),
}


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


def drawn_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64, spread so that activations keep their size through a hundred layers."""
    noise = _generator(name).standard_normal(shape)
    if name.endswith("running_var"):
        return 1.0 + 0.2 * np.tanh(noise)
    if name.endswith(("bias", "running_mean")):
        return 0.1 * noise
    if len(shape) == 1:
        # BN's scales are near 1, PReLU's slopes near a quarter.
        return 0.25 + 0.05 * noise if _is_slope(name) else 1.0 + 0.1 * noise
    return noise / np.sqrt(np.prod(shape[1:]))


def _is_slope(name: str) -> bool:
    parts = name.split(".")
    # MobileFaceNet's blocks are numbered: convolution 0, BN 1, PReLU 2.
    return "prelu" in name or (parts[-2] == "2" and parts[0] in ("layers", "conv_sep"))


def batch(case: Case, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures float64 [B, 3, side, side] in [-1, 1], and labels int64 [B]."""
    rng = _generator(f"{case.network}/{step}")
    return rng.uniform(-1, 1, (BATCH, 3, case.side, case.side)), rng.integers(0, CLASSES, BATCH)
