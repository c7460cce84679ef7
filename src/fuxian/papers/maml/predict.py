"""Predicts with MAML on a task of the user's own: adapts to its support examples, then predicts its query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.papers.maml.adapt import adapt
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet, Weights
from fuxian.papers.maml.settings import SETTINGS
from fuxian.papers.maml.task_folder import Task, read_numbers, read_pictures
from fuxian.training.checkpoints import load_into


@dataclass(frozen=True)
class Adapted:
    """A network adapted to a task.

    ``net``: holds the meta-parameters; ``weights``: its adapted ones, [1, ...] each.
    """

    net: SinusoidNet | OmniglotNet
    weights: Weights
    task: Task
    steps: int

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Logits [B, N] of pictures [B, 28, 28], or numbers [B, 1] at numbers [B, 1]; float32.

        Batch normalisation uses the statistics of these B pictures, as the paper's code does at test time.
        """
        with paddle.no_grad():
            return self.net.predict(self.weights, paddle.to_tensor(x[None]))[0].numpy()


def adapt_to_folder(claim: Claim, folder: Path, weights: Path, steps: int | None = None) -> Adapted:
    """Reads ``folder`` and adapts the claim's network to its support examples.

    Args:
        claim: gives the network and the inner step size.
        folder: as ``task_folder`` reads it.
        weights: a file of meta-parameters.
        steps: inner steps; 10 if absent, as the paper tests.

    Raises InputError for a bad folder or file, and where the steps lead to numbers that are not finite.
    """
    setting = SETTINGS[claim.id]
    task = read_pictures(folder, setting.ways) if setting.ways else read_numbers(folder)
    net = OmniglotNet(setting.ways) if setting.ways else SinusoidNet()
    load_into(net, weights)
    steps = setting.test_steps if steps is None else steps
    support = paddle.to_tensor(task.support_x[None]), paddle.to_tensor(task.support_y[None])
    with paddle.no_grad():
        adapted = adapt(net, support, steps=steps, step_size=setting.step_size, second_order=False)[-1]
    if not all(np.isfinite(value.numpy()).all() for value in [*adapted.values(), *net.parameters()]):
        raise InputError(
            f"{weights}: after {steps} steps on {folder} the weights are no finite numbers; give other"
            " weights, smaller numbers, or fewer --steps."
        )
    return Adapted(net, adapted, task, steps)


def predict(claim: Claim, folder: Path, weights: Path, *, steps: int | None = None) -> dict[str, Any]:
    """Adapts to ``folder`` as ``adapt_to_folder`` does and predicts its query examples.

    Returns:
        ``steps``, ``support`` (how many examples), and ``predictions``: for a classification each picture's
        ``label`` and the ``probabilities`` by label, for a regression ``y`` at each ``x``.
    """
    adapted = adapt_to_folder(claim, folder, weights, steps)
    task = adapted.task
    if not len(task.query_x):
        place = folder / ("query" if task.labels else "query.csv")
        raise InputError(f"{place} holds nothing to predict on; put at least one example there.")
    outputs = adapted.outputs(task.query_x)
    predictions = _named(task, outputs) if task.labels else _points(task, outputs)
    return {"steps": adapted.steps, "support": len(task.support_x), "predictions": predictions}


def _named(task: Task, logits_BN: np.ndarray) -> list[dict[str, Any]]:
    exponentials = np.exp(logits_BN.astype(np.float64) - logits_BN.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    return [
        {
            "picture": file,
            "label": task.labels[row.argmax()],
            "probabilities": dict(zip(task.labels, row.tolist(), strict=True)),
        }
        for file, row in zip(task.query_files, probabilities, strict=True)
    ]


def _points(task: Task, outputs_B1: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"x": x, "y": y} for x, y in zip(task.query_x[:, 0].tolist(), outputs_B1[:, 0].tolist(), strict=True)
    ]
