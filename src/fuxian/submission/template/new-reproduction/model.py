"""The network, in Paddle. Replace it by the paper's."""

from __future__ import annotations

import paddle
from paddle import nn

from data import CLASSES


class WaveformNet(nn.Layer):
    """Two convolutions, the mean over time, one linear layer: [batch, 1, time] -> [batch, CLASSES]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1D(1, 16, 7, padding=3, **_initial())
        self.conv2 = nn.Conv1D(16, 32, 7, padding=3, stride=2, **_initial())
        self.head = nn.Linear(32, CLASSES, **_initial())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.relu(self.conv1(x))
        x = nn.functional.relu(self.conv2(x))
        return self.head(x.mean(-1))


def _initial() -> dict:
    # Paddle and torch draw other initial weights unless told alike.
    weight = paddle.ParamAttr(initializer=nn.initializer.XavierUniform())
    bias = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
    return {"weight_attr": weight, "bias_attr": bias}
