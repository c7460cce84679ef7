"""An adapted MAML network as plain operators with the task's weights fixed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import paddle
from paddle import Tensor, nn

from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput
from fuxian.papers.maml.model import CONV_LAYERS, IMAGE_SIDE, Weights
from fuxian.papers.maml.ops import BATCH_NORM_EPSILON
from fuxian.papers.maml.predict import Steps, adapt_to_folder


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
    claim: str,
    weights: Path,
    *,
    task: Annotated[
        Path, "The folder whose support examples the network is adapted to, as `fuxian predict` reads it."
    ],
    steps: Steps = 10,
) -> ExportedNetwork:
    """The network adapted to a task as ``predict`` adapts it, its weights fixed; any number of queries at once.

    It is checked on the task's query, or on its support where there is none.
    """
    adapted = adapt_to_folder(claim, task, weights, steps)
    given = adapted.task
    examples = given.query_x if len(given.query_x) else given.support_x
    about = {"steps": steps, "support": len(given.support_x)}
    if given.labels:
        pictures = ExportedInput(
            name="pictures",
            dtype="float32",
            shape=("batch", IMAGE_SIDE, IMAGE_SIDE),
            preprocessing="ink 1.0 on paper 0.0; a drawing of 105 x 105 pixels of one bit reduced to 28 x 28 by taking"
            " the nearest pixel. Normalised by the statistics of the batch: an output depends on the whole batch.",
        )
        logits = ExportedOutput(
            name="logits",
            shape=("batch", len(given.labels)),
            meaning="before the softmax",
            labels=tuple(given.labels),
        )
        network: nn.Layer = AdaptedClassifier(adapted.weights, dict(adapted.net.named_parameters()))
        inputs, outputs = pictures, logits
    else:
        network = AdaptedRegressor(adapted.weights)
        inputs = ExportedInput(name="x", dtype="float32", shape=("batch", 1), preprocessing="x as it is")
        outputs = ExportedOutput(name="y", shape=("batch", 1), meaning="y at x")
    return ExportedNetwork(
        network=network,
        inputs=(inputs,),
        outputs=(outputs,),
        examples=(examples,),
        expected=(adapted.outputs(examples),),
        about=about,
    )
