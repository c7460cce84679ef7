"""Why a moving average of the weights differs: each side's decay is read off the trained weights, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.record import TRAINING_STEPS
from fuxian.align.recording import Recording

FITS = 1e-4
"""Relative error up to which a decay gives the average that was recorded."""
DECAYS = (0.0, 0.5, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99996,
          0.99999, 0.999999)  # fmt: skip


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """What each side's average is, where one of the usual rules gives it; else that the averages alone differ."""
    if divergence.recordings is None:
        return None
    accumulate = [side.data["settings"]["accumulate"] for side in divergence.recordings]
    found = [_rule(side) for side in divergence.recordings] if accumulate == [1, 1] else [None, None]
    if found[0] and found[1] and found[0] != found[1]:
        evidence = (
            f"the port's average has {found[0]}, the reference's {found[1]}: each gives its side's weights"
        )
        return Diagnosis("ema_decay", evidence, proven=True)
    return Diagnosis("ema_decay", "the trained weights agree; their moving average does not")


def _rules() -> Iterator[tuple[str, Callable[[int], float]]]:
    """The decay of the update t = 1, 2, ... under each of the usual rules."""
    for decay in DECAYS:
        yield f"a decay of {decay:g}", lambda t, d=decay: d  # type: ignore[misc]
    for decay in DECAYS[1:]:
        for offset in (0, 1):
            yield (
                f"a decay of min({decay:g}, (1 + t) / (10 + t)), t from {1 - offset}",
                lambda t, d=decay, o=offset: min(d, (1 + t - o) / (10 + t - o)),  # type: ignore[misc]
            )
        for length in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
            yield (
                f"a decay of {decay:g} (1 - exp(-t / {length}))",
                lambda t, d=decay, n=length: d * (1 - math.exp(-t / n)),  # type: ignore[misc]
            )
    yield "a plain mean, t / (t + 1)", lambda t: t / (t + 1)
    yield "a plain mean, (t - 1) / t", lambda t: (t - 1) / t


def _rule(side: Recording) -> str:
    """The rule that best gives the averaged weights; empty where none does."""
    names = [
        n for n in side.names(f"steps/{TRAINING_STEPS - 1}/evaluated/") if f"steps/0/parameters/{n}" in side
    ]
    if not names:
        return ""
    trained = [
        np.concatenate([_linear(side, f"steps/{t}/parameters/{n}") for n in names])
        for t in range(TRAINING_STEPS)
    ]
    wanted = np.concatenate([_linear(side, f"steps/{TRAINING_STEPS - 1}/evaluated/{n}") for n in names])
    size = float(np.abs(wanted).max()) or 1.0
    best, smallest = "", FITS * size
    for words, decay in _rules():
        made = np.zeros_like(wanted)
        for t, weights in enumerate(trained, 1):
            made = decay(t) * made + (1 - decay(t)) * weights
        apart = float(np.abs(made - wanted).max())
        if apart < 0.5 * smallest:  # The simplest of those that fit alike.
            best, smallest = words, apart
    return best


def _linear(side: Recording, name: str) -> np.ndarray:
    """What of a sketch is linear in the tensor: elements at fixed places, and projections."""
    return side.sketch(name)[sketches.MOMENTS :]
