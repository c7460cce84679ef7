"""A mean over units: accuracy of images, error of tasks, foreground IoU of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuxian.metrics.collected import Collected
from fuxian.metrics.units import Figure, Units, need

KIND = "mean"


class Mean(Collected):
    """``contribution(outputs, targets, meta)`` returns the figure of each unit by name: {"accuracy": [B]}."""

    def of_batches(self, batches: list[dict[str, Any]]) -> dict[str, Units]:
        return {
            name: of_values(np.concatenate([np.asarray(b[name], np.float64).reshape(-1) for b in batches]))
            for name in batches[0]
        }


def of_values(values: Any) -> Units:
    """Units with one value each [n]."""
    found = np.asarray(values, dtype=np.float64)
    return Units(KIND, len(found), {"value": found})


def check(units: Units) -> None:
    need(units, {"value": ("n",)})


def prepare(units: Units) -> Figure:
    values = units.arrays["value"].astype(np.float64)
    return lambda chosen: float(np.mean(values[chosen]))
