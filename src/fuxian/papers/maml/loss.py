"""MAML's outer losses and the metrics of its two experiments.

Shape legend: S evaluated inner steps, T tasks, B query examples of a task, N classes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import paddle
from paddle import Tensor

from fuxian.metrics import Mean


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


def per_task(name: Literal["mse", "accuracy"]) -> Mean:
    """A metric of each task after each inner step.

    ``<name>`` is the mean over tasks after the last step, ``<name>_after_<s>`` after step s (0 is before adapting).
    """

    def contribution(outputs_STB: np.ndarray, targets: tuple[np.ndarray], meta: Any) -> dict[str, np.ndarray]:
        outputs, y = outputs_STB.astype(np.float64), targets[0].astype(np.float64)
        if name == "accuracy":
            figures_ST = (outputs.argmax(-1) == y.argmax(-1)).mean(-1)
        else:
            figures_ST = np.square(outputs - y).mean((-1, -2))
        return {name: figures_ST[-1], **{f"{name}_after_{step}": row for step, row in enumerate(figures_ST)}}

    return Mean(contribution)
