"""Times two sides in turns, so that a busy machine slows them alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def interleaved(
    paddle_side: Callable[[], None],
    torch_side: Callable[[], None],
    seconds: float,
    *,
    at_least: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict:
    """Median milliseconds of each side by the ``clock``, and the median ratio of the rounds (``at_least`` so many)."""
    sides = [paddle_side, torch_side]
    for side in sides:
        side()
    rounds = []
    until = clock() + seconds
    while clock() < until or len(rounds) < at_least:
        costs = {}
        for place in (0, 1) if len(rounds) % 2 else (1, 0):
            began = clock()
            sides[place]()
            costs[place] = clock() - began
        rounds.append((costs[0], costs[1]))
    times = np.array(rounds) * 1e3
    ours, theirs = np.median(times, axis=0)
    ratio = float(np.median(times[:, 0] / times[:, 1]))
    return {"paddle_ms": float(ours), "torch_ms": float(theirs), "ratio": ratio, "rounds": len(rounds)}
