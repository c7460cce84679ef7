"""Writes an adapted MAML network as a static graph of plain operators with the task's weights fixed in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.static import InputSpec

from fuxian.errors import PlatformError
from fuxian.paper import Claim
from fuxian.papers.maml.model import CONV_LAYERS, IMAGE_SIDE, Weights
from fuxian.papers.maml.ops import BATCH_NORM_EPSILON
from fuxian.papers.maml.predict import Adapted, adapt_to_folder

TOLERANCE = 1e-4
"""Of the largest output (or of 1, if that is more): how far float32 computations in another order may be apart."""


class AdaptedClassifier(nn.Layer):
    """Logits [B, N] of pictures [B, 28, 28], normalised by the statistics of these B pictures.

    The convolutions' biases are not here: batch normalisation takes them out again.
    """

    def __init__(self, weights: Weights, shifts: Weights):
        super().__init__()
        for i in range(1, CONV_LAYERS + 1):
            self.register_buffer(f"kernel{i}", weights[f"conv{i}"][0].transpose([3, 2, 0, 1]))
            self.register_buffer(f"beta{i}", shifts[f"beta{i}"].detach().reshape([1, -1, 1, 1]))
        self.register_buffer("w5", weights["w5"][0])
        self.register_buffer("b5", weights["b5"][0])

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures.unsqueeze(1)
        side = IMAGE_SIDE
        for i in range(1, CONV_LAYERS + 1):
            # 'SAME' as TensorFlow pads: an even side at its end only.
            padding = [side % 2, 1] * 2
            x = nn.functional.conv2d(x, getattr(self, f"kernel{i}"), stride=2, padding=padding)
            x = x - x.mean([0, 2, 3], keepdim=True)
            inverse_std = paddle.rsqrt((x * x).mean([0, 2, 3], keepdim=True) + BATCH_NORM_EPSILON)
            x = nn.functional.relu(x * inverse_std + getattr(self, f"beta{i}"))
            side = (side + 1) // 2
        return paddle.matmul(x.mean([2, 3]), self.w5) + self.b5


class AdaptedRegressor(nn.Layer):
    """Predictions [B, 1] at x [B, 1]."""

    def __init__(self, weights: Weights):
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name, value[0])

    def forward(self, x: Tensor) -> Tensor:
        for i in (1, 2):
            x = nn.functional.relu(paddle.matmul(x, getattr(self, f"w{i}")) + getattr(self, f"b{i}"))
        return paddle.matmul(x, self.w3) + self.b3


def export(
    claim: Claim, folder: Path, weights: Path, out: Path, *, steps: int | None = None
) -> dict[str, Any]:
    """Adapts to ``folder`` as ``predict`` does and writes the network into the existing folder ``out``.

    Writes ``model.json`` and ``model.pdiparams``, which ``paddle.jit.load(out / "model")`` reads, and for a
    classification ``labels.json``: the labels in the order of the logits. The batch dimension is free.

    Returns:
        ``steps``; ``support``, how many examples; ``input`` and ``output``, in words; ``checked_on``, how
        many examples the written network predicted again: the query, or the support where there is none; and
        ``max_difference``, the largest difference of an output from ``predict``'s, divided by the largest
        output or by 1.

    Raises PlatformError where that difference is above 1e-4.
    """
    adapted = adapt_to_folder(claim, folder, weights, steps)
    task = adapted.task
    if task.labels:
        network: nn.Layer = AdaptedClassifier(adapted.weights, dict(adapted.net.named_parameters()))
        words = "float32 [B, 28, 28], ink 1 on 0", "float32 [B, N], logits of the labels in labels.json"
        (out / "labels.json").write_text(json.dumps(task.labels, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        network = AdaptedRegressor(adapted.weights)
        words = "float32 [B, 1], x", "float32 [B, 1], y"
    network.eval()
    spec = InputSpec([None, *task.support_x.shape[1:]], "float32", "input")
    paddle.jit.save(network, str(out / "model"), input_spec=[spec])
    examples = task.query_x if len(task.query_x) else task.support_x
    return {
        "steps": adapted.steps,
        "support": len(task.support_x),
        "input": words[0],
        "output": words[1],
        "checked_on": len(examples),
        "max_difference": _difference(adapted, out / "model", examples),
    }


def _difference(adapted: Adapted, path: Path, examples: np.ndarray) -> float:
    written = paddle.jit.load(str(path))
    written.eval()
    again, outputs = written(paddle.to_tensor(examples)).numpy(), adapted.outputs(examples)
    difference = float(np.abs(again - outputs).max() / max(1.0, np.abs(outputs).max()))
    # Written so that NaN fails too.
    if not difference <= TOLERANCE:
        raise PlatformError(
            f"the written network differs from `fuxian predict` by {difference:.1e}, more than {TOLERANCE:.0e}: "
            "this Paddle exports it wrongly; use the version that Fuxian is tested with."
        )
    return difference
