"""Randomness that depends on the run's seed and the step alone."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import paddle


def seed_everything(seed: int, step: int = -1) -> None:
    """Seeds Python, numpy and Paddle from (seed, step); step -1 is the model's initialisation.

    Called before each step, it makes a resumed run draw what the uninterrupted one drew, without storing the state
    of any generator.
    """
    word = int.from_bytes(hashlib.sha256(f"{seed}/{step}".encode()).digest()[:4], "little")
    random.seed(word)
    np.random.seed(word)
    paddle.seed(word)
