"""MAML's outer losses and the metrics of its two experiments.

Shape legend: S evaluated inner steps, T tasks, B query examples of a task, N classes.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor


def mean_squared_error(predictions_STB1: Tensor, targets: tuple[Tensor]) -> Tensor:
    """Equation 2 averaged over tasks and query points, after the last step."""
    (y_TB1,) = targets
    return paddle.square(predictions_STB1[-1] - y_TB1).mean()


def cross_entropy(logits_STBN: Tensor, targets: tuple[Tensor]) -> Tensor:
    """Equation 3 after the last step: summed over a task's N K query examples, divided by K, averaged over tasks.

    The division by K rather than by N K is the official code's (``xent`` in utils.py).
    """
    (y_TBN,) = targets
    tasks, examples, ways = y_TBN.shape
    log_probability = paddle.nn.functional.log_softmax(logits_STBN[-1])
    return -(log_probability * y_TBN).sum() / (tasks * (examples // ways))


class PerTask:
    """A figure of each task after each inner step; ``compute`` averages them over the tasks.

    ``<name>`` is the figure after the last step, ``<name>_after_<s>`` after step s (0 is before adapting).
    """

    def __init__(self, name: str):
        self.name = name
        self.per_task: list[np.ndarray] = []

    def figure(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[S, T] from outputs [S, T, B, ...] and targets [T, B, ...]."""
        if self.name == "accuracy":
            return (outputs.argmax(-1) == y.argmax(-1)).mean(-1)
        return np.square(outputs - y).mean((-1, -2))

    def update(self, outputs: np.ndarray, targets: tuple[np.ndarray]) -> None:
        self.per_task.append(self.figure(outputs.astype(np.float64), targets[0].astype(np.float64)))

    def examples(self) -> dict[str, list[float]]:
        figures = np.concatenate(self.per_task, axis=1)
        named = {f"{self.name}_after_{step}": row.tolist() for step, row in enumerate(figures)}
        return {self.name: figures[-1].tolist(), **named}

    def compute(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self.examples().items()}
