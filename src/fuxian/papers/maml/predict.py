"""Predicts with MAML on a task of the user's own: adapts to its support examples, then predicts its query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import paddle

from fuxian.errors import InputError
from fuxian.papers.contract import Prediction
from fuxian.papers.maml.adapt import adapt
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet, Weights
from fuxian.papers.maml.settings import SETTINGS
from fuxian.papers.maml.task_folder import Task, read_numbers, read_pictures
from fuxian.papers.maml.views import draw_characters, draw_sinusoid
from fuxian.training.checkpoints import load_into

PATH = """
maml/omniglot-*: a folder. PATH/support/LABEL/ holds one or more pictures (PNG, JPEG, BMP) of each of five labels,
PATH/query/ the pictures to name; dark ink on light paper. The network adapts to the support pictures by gradient
steps. As in the paper's code, batch normalisation uses the statistics of all query pictures together: a picture's
probabilities depend on the other query pictures.

maml/sinusoid-10shot: a folder. PATH/support.csv holds the columns x,y and PATH/query.csv the column x.
"""

Steps = Annotated[int, "Gradient steps on the support examples; the paper tests with 10."]


@dataclass(frozen=True)
class Adapted:
    """A network adapted to a task.

    ``net``: holds the meta-parameters; ``weights``: its adapted ones, [1, ...] each.
    """

    net: SinusoidNet | OmniglotNet
    weights: Weights
    task: Task

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Logits [B, N] of pictures [B, 28, 28], or numbers [B, 1] at numbers [B, 1]; float32.

        Batch normalisation uses the statistics of these B pictures, as the paper's code does at test time.
        """
        with paddle.no_grad():
            return self.net.predict(self.weights, paddle.to_tensor(x[None]))[0].numpy()


def adapt_to_folder(claim: str, folder: Path, weights: Path, steps: int) -> Adapted:
    """Reads ``folder``, as ``task_folder`` does, and adapts the claim's network to its support examples.

    Raises InputError for a bad folder or file, and where the steps lead to numbers that are not finite.
    """
    if steps < 0:
        raise InputError(f"--steps {steps}: there are no negative steps; give 0 or more.")
    setting = SETTINGS[claim]
    task = read_pictures(folder, setting.ways) if setting.ways else read_numbers(folder)
    net = OmniglotNet(setting.ways) if setting.ways else SinusoidNet()
    load_into(net, weights)
    support = paddle.to_tensor(task.support_x[None]), paddle.to_tensor(task.support_y[None])
    with paddle.no_grad():
        adapted = adapt(net, support, steps=steps, step_size=setting.step_size, second_order=False)[-1]
    if not all(np.isfinite(value.numpy()).all() for value in [*adapted.values(), *net.parameters()]):
        raise InputError(
            f"{weights}: after {steps} steps on {folder} the weights are no finite numbers; give other"
            " weights, smaller numbers, or fewer --steps."
        )
    return Adapted(net, adapted, task)


def predict(claim: str, path: Path, weights: Path, out: Path, *, steps: Steps = 10) -> Prediction:
    """Adapts to ``path`` as ``adapt_to_folder`` does, predicts its query examples and draws them.

    Rows: for a classification each picture's ``label`` and the ``probabilities`` by label, for a regression ``y`` at
    each ``x``. ``out`` gets ``predictions.png``.
    """
    adapted = adapt_to_folder(claim, path, weights, steps)
    task = adapted.task
    if not len(task.query_x):
        place = path / ("query" if task.labels else "query.csv")
        raise InputError(f"{place} holds nothing to predict on; put at least one example there.")
    outputs = adapted.outputs(task.query_x)
    rows = _named(task, outputs) if task.labels else _points(task, outputs)
    view = out / "predictions.png"
    if task.labels:
        draw_characters(task, rows, view)
    else:
        draw_sinusoid(task, rows, view)
    return Prediction(rows=rows, views=[view], about={"steps": steps, "support": len(task.support_x)})


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
