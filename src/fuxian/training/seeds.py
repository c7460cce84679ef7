"""Randomness that depends on the run's seed and the step alone."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import paddle


def seed_everything(seed: int, step: int = -1, of: str = "") -> None:
    """Seeds Python, numpy and Paddle from (seed, step); step -1 is the model's initialisation.

    Called before each step, it makes a resumed run draw what the uninterrupted one drew, without storing the state
    of any generator. ``of`` names what is drawn apart from the step's data, which another process may draw.
    """
    text = f"{seed}/{step}" + (f"/{of}" if of else "")
    word = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    random.seed(word)
    np.random.seed(word)
    paddle.seed(word)
