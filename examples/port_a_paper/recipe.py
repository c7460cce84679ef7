"""The port: the same parts in Paddle."""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from paddle import nn

from fuxian import Recipe

sys.path.insert(0, str(Path(__file__).parent))

from textures import CLASSES, accuracy, eval_data, train_data


def conv(inputs: int, outputs: int, side: int, **options) -> nn.Conv2D:
    he_normal = paddle.ParamAttr(initializer=nn.initializer.KaimingNormal(nonlinearity="relu"))
    return nn.Conv2D(inputs, outputs, side, weight_attr=he_normal, bias_attr=False, **options)


class ResidualBlock(nn.Layer):
    """Halves the side; the shortcut is averaged, then widened."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2D(outputs, momentum=0.9)
        self.conv2 = conv(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2D(outputs, momentum=0.9)
        self.pool = nn.AvgPool2D(3, stride=2, padding=1, exclusive=False)
        self.widen = conv(inputs, outputs, 1)

    def forward(self, x):
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return nn.functional.relu(out + self.widen(self.pool(x)))


class TextureNet(nn.Layer):
    """[size, 1, SIDE, SIDE] -> [size, CLASSES]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(1, 8, 3, padding=1)
        self.bn = nn.BatchNorm2D(8, momentum=0.9)
        self.block1 = ResidualBlock(8, 16)
        self.block2 = ResidualBlock(16, 32)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(
            32,
            CLASSES,
            weight_attr=paddle.ParamAttr(initializer=nn.initializer.Normal(0.0, 0.01)),
            bias_attr=paddle.ParamAttr(initializer=nn.initializer.Constant(0.0)),
        )

    def forward(self, x):
        x = nn.functional.relu(self.bn(self.stem(x)))
        x = self.block2(self.block1(x)).mean((2, 3))
        return self.head(self.dropout(x))


def loss(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets[0], label_smoothing=0.1)


def recipe(
    claim: str = "textures", *, seed: int = 0, iterations: int = 300, eval_split: str = "test"
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.CosineAnnealingDecay(0.1, T_max=iterations)
        momentum = paddle.optimizer.Momentum(
            schedule, momentum=0.9, weight_decay=5e-4, parameters=model.parameters()
        )
        return momentum, schedule

    return Recipe(
        model=TextureNet,
        train_data=lambda: train_data(iterations, seed),
        eval_data=lambda: eval_data(eval_split),
        loss=loss,
        optimizer=optimizer,
        metric=accuracy,
    )
