"""The paper's learning curve over update steps (figure 3), with the reference's beside it where it is recorded."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fuxian.paper import Claim, Paper
from fuxian.training.evaluate import Evaluation


def curves(paper: Paper, claim: Claim, evaluations: list[Evaluation]) -> dict[str, Any]:
    """Named series over the inner steps 0 to 10.

    One run: mean over its test tasks with the 95 % interval. Several runs: median over the seeds with the quartiles,
    since one seed whose inner loop diverges on one task would hide all others in a mean.
    """
    figure = claim.unit if claim.unit == "accuracy" else "mse"
    steps = range(sum(name.startswith(f"{figure}_after_") for name in evaluations[0].figures))
    names = [f"{figure}_after_{step}" for step in steps]
    labels = {"x": list(steps), "x_label": "inner steps", "y_label": figure}
    found = {
        "MAML, this reproduction": labels | _over_seeds([[e.figures[n] for n in names] for e in evaluations])
    }
    if len(evaluations) == 1:
        per_task = [evaluations[0].units[name].arrays["value"] for name in names]
        found = {"MAML, this reproduction": labels | _over_tasks(per_task)}
    if claim.reference is not None:
        runs = json.loads((paper.folder / claim.reference.file).read_text())["values"]
        recorded = [[np.inf if error is None else error for error in run["curve"]] for run in runs]
        found[f"PyTorch reference, {len(runs)} seeds"] = labels | _over_seeds(recorded)
    return found


def _over_tasks(examples: list[np.ndarray]) -> dict[str, list[float]]:
    tasks = np.array(examples)
    mean, half = tasks.mean(1), 1.96 * tasks.std(1, ddof=1) / np.sqrt(tasks.shape[1])
    return _finite(mean, mean - half, mean + half)


def _over_seeds(runs: list[list[float]]) -> dict[str, list[float]]:
    low, median, high = np.quantile(
        np.nan_to_num(np.array(runs), nan=np.inf), [0.25, 0.5, 0.75], axis=0, method="nearest"
    )
    return _finite(median, low, high)


def _finite(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, list[float]]:
    """The largest number stands for what overflowed, so that the file stays plain JSON."""
    most = np.finfo(np.float32).max
    return {name: np.clip(a, -most, most).tolist() for name, a in (("y", y), ("low", low), ("high", high))}
