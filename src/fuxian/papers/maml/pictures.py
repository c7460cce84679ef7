"""What trained weights predict on tasks of the test split, for the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from matplotlib.figure import Figure

from fuxian.papers.maml.recipe import recipe
from fuxian.papers.maml.settings import SETTINGS
from fuxian.recipe import to_tensors
from fuxian.training.checkpoints import load_evaluated

TASKS = 3


def pictures(claim: str, weights: Path, out: Path) -> None:
    """Writes ``predictions.png``: curves before and after inner steps, or queries with the class that each is given."""
    parts = recipe(claim)
    model = load_evaluated(parts, weights)
    model.eval()
    batch = next(iter(parts.eval_data()))  # type: ignore[misc]
    with paddle.no_grad():
        outputs = parts.forward(model, to_tensors("paddle", batch["inputs"])).numpy()
    support_x, support_y, query_x = batch["inputs"]
    targets = batch["targets"][0]
    if SETTINGS[claim].ways:
        _characters(query_x, outputs[-1], targets, out / "predictions.png")
    else:
        _curves(support_x, support_y, query_x, outputs, targets, out / "predictions.png")


def _characters(query: np.ndarray, logits: np.ndarray, targets: np.ndarray, file: Path) -> None:
    """Of each task the query pictures [T, B, 28, 28], each under the class it is given; the right one where another.

    ``targets`` are one-hot [T, B, N].
    """
    shown = min(8, query.shape[1])
    figure = Figure(figsize=(1.1 * shown, 1.45 * TASKS), layout="constrained")
    grid = figure.subplots(TASKS, shown, squeeze=False)
    for task in range(TASKS):
        for column in range(shown):
            axes = grid[task, column]
            axes.imshow(query[task, column].reshape(28, 28), cmap="gray_r", vmin=0, vmax=1)
            axes.axis("off")
            said, right = int(logits[task, column].argmax()), int(targets[task, column].argmax())
            axes.set_title(f"{said}" if said == right else f"{said} (not {right})", fontsize=9)
    figure.savefig(file, dpi=90, metadata={"Software": None})


def _curves(
    support_x: np.ndarray,
    support_y: np.ndarray,
    query_x: np.ndarray,
    outputs: np.ndarray,
    targets: np.ndarray,
    file: Path,
) -> None:
    """Of each task the true curve, the support points, and what is predicted after 0, 1 and 10 inner steps."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, task in zip(figure.subplots(1, TASKS), range(TASKS), strict=True):
        order = query_x[task, :, 0].argsort()
        x = query_x[task, order, 0]
        axes.plot(x, targets[task, order, 0], "k-", linewidth=1, label="true")
        for step, style in ((0, ":"), (1, "--"), (outputs.shape[0] - 1, "-.")):
            axes.plot(x, outputs[step, task, order, 0], style, label=f"step {step}")
        axes.plot(support_x[task, :, 0], support_y[task, :, 0], "o", markersize=4, label="support")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=9
    )
    figure.savefig(file, dpi=90, metadata={"Software": None})
