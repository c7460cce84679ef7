"""How many pictures are segmented how well."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuxian.paper import Claim, Paper
from fuxian.training.evaluate import Evaluation

POINTS = 101


def curves(paper: Paper, claim: Claim, evaluations: list[Evaluation]) -> dict[str, Any]:
    """The share of pictures whose IoU is at least x, the bounds those of a share (Wilson, 95 %)."""
    found = {}
    for number, evaluation in enumerate(evaluations):
        of_pictures = evaluation.units[claim.metric].arrays["value"]
        x = np.linspace(0, 1, POINTS)
        y = (of_pictures[None] >= x[:, None]).mean(1)
        n, z = len(of_pictures), 1.96
        centre = (y + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(y * (1 - y) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
        name = "pictures" if len(evaluations) == 1 else f"pictures, run {number + 1}"
        found[name] = {
            "x": x.tolist(),
            "y": y.tolist(),
            "low": (centre - half).tolist(),
            "high": (centre + half).tolist(),
            "x_label": "foreground IoU",
            "y_label": "share of pictures with at least this",
        }
    return found
