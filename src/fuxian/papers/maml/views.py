"""Pictures of what MAML predicted on a user's task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fuxian.papers.maml.task_folder import Task

COLUMNS = 5
LARGEST = 200
"""Query pictures drawn; the rest is in the rows alone."""


def draw_characters(task: Task, rows: list[dict[str, Any]], file: Path) -> None:
    """The query pictures as the network sees them, each under its label and that label's probability."""
    shown = rows[:LARGEST]
    lines = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(1.6 * COLUMNS, 1.9 * lines), layout="constrained")
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, row, picture in zip(grid.flat, shown, task.query_x, strict=False):
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        # parse_math: a label of the user's is no formula.
        title = f"{row['label'][:24]}\n{row['probabilities'][row['label']]:.1%}"
        axes.set_title(title, fontsize=9, parse_math=False)
    figure.savefig(file, dpi=100)


def draw_sinusoid(task: Task, rows: list[dict[str, Any]], file: Path) -> None:
    """The support points and the predictions, x across and y up."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(task.support_x[:, 0], task.support_y[:, 0], "o", label="support")
    ordered = sorted((row["x"], row["y"]) for row in rows)
    axes.plot(*zip(*ordered, strict=True), "x-", label="predicted")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.legend()
    figure.savefig(file, dpi=100)
