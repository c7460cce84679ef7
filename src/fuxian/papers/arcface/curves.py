"""The ROC of verification."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuxian.paper import Claim, Paper
from fuxian.training.evaluate import Evaluation

POINTS = 200


def roc(score: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true accept rates [K] at every threshold from the strictest to the most lenient, (0, 0) to (1, 1).

    ``score`` [N], higher for one person; ``same`` [N] bool. Pairs of equal score are accepted together.
    """
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    true, false = np.cumsum(same[order])[ends], np.cumsum(~same[order])[ends]
    return np.append(0, false / max(1, (~same).sum())), np.append(0, true / max(1, same.sum()))


def curves(paper: Paper, claim: Claim, evaluations: list[Evaluation]) -> dict[str, Any]:
    """The true accept rate over the false one, the bounds those of a share of the matched pairs (Wilson)."""
    found = {}
    for number, evaluation in enumerate(evaluations):
        units = next(one for name, one in evaluation.units.items() if name.startswith("tar_at_far"))
        same = units.arrays["same"].astype(bool)
        far, tar = roc(units.arrays["score"], same)
        x = np.linspace(0, 1, POINTS)
        y = np.interp(x, far, tar)
        n, z = same.sum(), 1.96
        centre = (y + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(y * (1 - y) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
        name = "ROC" if len(evaluations) == 1 else f"ROC, run {number + 1}"
        found[name] = {
            "x": x.tolist(),
            "y": y.tolist(),
            "low": (centre - half).tolist(),
            "high": (centre + half).tolist(),
            "x_label": "false accept rate",
            "y_label": "true accept rate",
        }
    return found
