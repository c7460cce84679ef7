"""The paper's learning curve over update steps (figure 3), with the reference's beside it where it is recorded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fuxian.paper import Claim, Paper
from fuxian.training.evaluate import Evaluation


def curves(paper: Paper, claim: Claim, evaluations: list[Evaluation]) -> dict[str, Any]:
    """Named series over the inner steps 0 to 10; the bands are 95 % intervals (over tasks, or over seeds)."""
    steps = range(sum(name.startswith(f"{claim.metric}_after_") for name in evaluations[0].figures))
    labels = {"x_label": "inner steps", "y_label": claim.metric}
    values = np.array(
        [[one.figures[f"{claim.metric}_after_{step}"] for step in steps] for one in evaluations]
    )
    if len(evaluations) == 1:
        tasks = np.array([evaluations[0].examples[f"{claim.metric}_after_{step}"] for step in steps])
        mean, half = tasks.mean(1), 1.96 * tasks.std(1, ddof=1) / np.sqrt(tasks.shape[1])
        if claim.unit == "accuracy":
            half = np.minimum(half, 1 - mean)
        ours = _series(steps, mean, mean - half, mean + half, labels)
    else:
        ours = _series(steps, values.mean(0), values.min(0), values.max(0), labels)
    found = {"MAML, this reproduction": ours}
    if claim.reference is not None:
        runs = json.loads((paper.folder / claim.reference.file).read_text())["values"]
        recorded = np.array([run["curve"] for run in runs])
        name = f"PyTorch reference, {len(recorded)} seeds"
        found[name] = _series(steps, recorded.mean(0), recorded.min(0), recorded.max(0), labels)
    return found


def _series(
    steps: range, y: np.ndarray, low: np.ndarray, high: np.ndarray, labels: dict[str, str]
) -> dict[str, Any]:
    return {"x": list(steps), "y": y.tolist(), "low": low.tolist(), "high": high.tolist(), **labels}
