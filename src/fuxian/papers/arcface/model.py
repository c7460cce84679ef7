"""ArcFace's networks: ResNets of improved residual units with the embedding BN-Dropout-FC-BN, and MobileFaceNet.

Layers have the official code's names, so that its weights fit by name. Shape legend: B pictures, E features, C classes.
"""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Normal, Uniform

from fuxian.papers.arcface.settings import Network


def _conv(channels: int, width: int, kernel: int, stride: int) -> nn.Conv2D:
    return nn.Conv2D(
        channels,
        width,
        kernel,
        stride,
        padding=kernel // 2,
        weight_attr=ParamAttr(initializer=Normal(0.0, 0.1)),
        bias_attr=False,
    )


class Block(nn.Layer):
    """The improved residual unit, figure 2 of the paper: BN, conv, BN, PReLU, conv with the stride, BN."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2D(channels)
        self.conv1 = _conv(channels, width, 3, 1)
        self.bn2 = nn.BatchNorm2D(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn3 = nn.BatchNorm2D(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(_conv(channels, width, 1, stride), nn.BatchNorm2D(width))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(x)) + shortcut


class UnscaledBatchNorm(nn.BatchNorm1D):
    """BN whose scale stays at 1, as the official code freezes the embedding's.

    The shift is added afterwards: Paddle's batch_norm gives it no gradient where the scale has none. A shift of zeros
    stands in its place, without which Paddle Inference crashes with oneDNN.
    """

    def __init__(self, features: int):
        super().__init__(features)
        self.weight.stop_gradient = True

    def forward(self, input: Tensor) -> Tensor:
        normalised = F.batch_norm(
            input,
            self._mean,
            self._variance,
            weight=self.weight,
            bias=paddle.zeros_like(self.bias),
            training=self.training,
            momentum=self._momentum,
            epsilon=self._epsilon,
        )
        return normalised + self.bias


class IResNet(nn.Layer):
    """Embeddings [B, E], not normalised, of pictures [B, 3, side, side] in [-1, 1], RGB."""

    def __init__(self, network: Network):
        super().__init__()
        channels = network.widths[0]
        self.conv1 = _conv(3, channels, 3, 1)
        self.bn1 = nn.BatchNorm2D(channels)
        self.prelu = nn.PReLU(channels)
        for number, (width, blocks) in enumerate(zip(network.widths, network.blocks, strict=True), 1):
            stage = [Block(channels, width, 2), *(Block(width, width, 1) for _ in range(blocks - 1))]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
            channels = width
        self.bn2 = nn.BatchNorm2D(channels)
        self.dropout = nn.Dropout(network.dropout)
        inputs = channels * network.last_side**2
        bound = Uniform(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
        self.fc = nn.Linear(
            inputs, network.features, ParamAttr(initializer=bound), ParamAttr(initializer=bound)
        )
        self.features = UnscaledBatchNorm(network.features)
        self._stages = len(network.blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, self._stages + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.features(self.fc(self.dropout(self.bn2(x).flatten(1))))


class ConvBlock(nn.Layer):
    """Convolution, BN and, unless it is linear, PReLU."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        padded: bool = True,
        linear: bool = False,
    ):
        super().__init__()
        # Fan-out as torch counts it, which leaves the groups out of account.
        spread = Normal(0.0, math.sqrt(2.0 / (width * kernel**2)))
        layers = [
            nn.Conv2D(
                channels,
                width,
                kernel,
                stride,
                padding=kernel // 2 if padded else 0,
                groups=groups,
                weight_attr=ParamAttr(initializer=spread),
                bias_attr=False,
            ),
            nn.BatchNorm2D(width),
        ]
        self.layers = nn.Sequential(*layers, *([] if linear else [nn.PReLU(width)]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class DepthWise(nn.Layer):
    """MobileNetV2's inverted residual: widen to ``inner`` channels, depth-wise 3x3, narrow without activation."""

    def __init__(self, channels: int, width: int, inner: int, stride: int):
        super().__init__()
        self.residual = stride == 1
        self.layers = nn.Sequential(
            ConvBlock(channels, inner),
            ConvBlock(inner, inner, 3, stride, groups=inner),
            ConvBlock(inner, width, linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Repeated(nn.Layer):
    """``count`` inverted residuals of the same width."""

    def __init__(self, count: int, width: int, inner: int):
        super().__init__()
        self.layers = nn.Sequential(*(DepthWise(width, width, inner, 1) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class GlobalDepthwise(nn.Layer):
    """A 7x7 depth-wise convolution in place of pooling, then the embedding without bias, and BN."""

    def __init__(self, features: int):
        super().__init__()
        spread = Normal(0.0, math.sqrt(2.0 / features))
        self.layers = nn.Sequential(
            ConvBlock(512, 512, 7, groups=512, padded=False, linear=True),
            nn.Flatten(),
            nn.Linear(512, features, ParamAttr(initializer=spread), bias_attr=False),
            nn.BatchNorm1D(features),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MobileFaceNet(nn.Layer):
    """Embeddings [B, E] of pictures [B, 3, 112, 112]: MobileFaceNet at twice its width, as insightface trains it."""

    def __init__(self, features: int = 512):
        super().__init__()
        self.layers = nn.LayerList(
            [
                ConvBlock(3, 128, 3, 2),
                ConvBlock(128, 128, 3, groups=64),
                DepthWise(128, 128, 128, 2),
                Repeated(4, 128, 128),
                DepthWise(128, 256, 256, 2),
                Repeated(6, 256, 256),
                DepthWise(256, 256, 512, 2),
                Repeated(2, 256, 256),
            ]
        )
        self.conv_sep = ConvBlock(256, 512)
        self.features = GlobalDepthwise(features)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.features(self.conv_sep(x))


class CosineHead(nn.Layer):
    """cos(theta) [B, C] between embeddings [B, E] and class centres (section 3.1: both normalised)."""

    def __init__(self, classes: int, features: int):
        super().__init__()
        # The official code clips the gradient of the network only.
        drawn = ParamAttr(initializer=Normal(0.0, 0.01), need_clip=False)
        self.weight = self.create_parameter([classes, features], attr=drawn)

    def forward(self, x: Tensor) -> Tensor:
        return cosines(x, self.weight)


class LinearHead(CosineHead):
    """Logits [B, C] of equation 1 without its bias: the softmax baseline."""

    def forward(self, x: Tensor) -> Tensor:
        return paddle.matmul(x, self.weight, transpose_y=True)


def cosines(x_BE: Tensor, weight_CE: Tensor) -> Tensor:
    """cos(theta) [B, C]; rounding is cut off at -1 and 1."""
    product = paddle.matmul(F.normalize(x_BE), F.normalize(weight_CE), transpose_y=True)
    return paddle.clip(product, -1.0, 1.0)


class Recognizer(nn.Layer):
    """A network with its head: what the loss takes, [B, C]. Verification asks the ``backbone`` alone."""

    def __init__(self, backbone: nn.Layer, head: nn.Layer):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.backbone(pictures))
