"""The share of genuine pairs accepted where a given share of impostor pairs is (TAR at FAR)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics.collected import Collected, columns
from fuxian.metrics.units import Figure, Units, finite, need, need_truth_values

KIND = "true accept rate"


class TrueAcceptRate(Collected):
    """``contribution(outputs, targets, meta)`` returns (score, same), each [B]; a higher score says "same".

    Figures: ``tar_at_far_0.001`` and so on for ``fars``. A pair is accepted above the threshold, which is the lowest
    score that lets no more than that share of the impostor pairs through. The units are the pairs.
    """

    def __init__(self, contribution: Callable[[Any, Any, Any], Any], fars: Sequence[float]) -> None:
        super().__init__(contribution)
        self.fars = fars

    def of_batches(self, batches: list[tuple]) -> dict[str, Units]:
        score, same = columns(batches, (np.float64, np.int8))
        arrays = {"score": score, "same": same}
        return {f"tar_at_far_{far:g}": Units(KIND, len(score), arrays, {"far": far}) for far in self.fars}


def check(units: Units) -> None:
    need(units, {"score": ("n",), "same": ("n",)})
    need_truth_values(units, "same")
    far = units.settings.get("far")
    if not isinstance(far, float) or not 0 < far < 1:
        raise InputError(f"{KIND}: far is {far!r:.40}; give a share between 0 and 1.")


def prepare(units: Units) -> Figure:
    score, same = units.arrays["score"], units.arrays["same"].astype(bool)
    far = units.settings["far"]
    if not finite(units, "score"):
        return lambda chosen: np.nan

    def figure(chosen: np.ndarray) -> float:
        genuine, impostor = score[chosen][same[chosen]], score[chosen][~same[chosen]]
        if not len(genuine) or not len(impostor):
            return np.nan
        return float(np.mean(genuine > threshold(impostor, far)))

    return figure


def threshold(impostor: np.ndarray, far: float) -> float:
    """The lowest of the impostor scores [N] above which no more than far N of them lie."""
    let_through = int(np.floor(far * len(impostor) * (1 + 1e-12)))
    return float(np.sort(impostor)[::-1][let_through])
