"""ResNet with a feature pyramid (He et al. 2016; Lin et al. 2017), as detectron2 builds it and with its names.

Stride in the 3 x 3 convolution, nearest-neighbour scaling in the pyramid, batch normalisation frozen unless a network
is trained from nothing. Shape legend: N pictures, C channels, H and W a map's height and width.
"""

from __future__ import annotations

import math
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

Depth = Literal[18, 34, 50, 101]
Norm = Literal["frozen", "batch"]
BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
EPSILON = 1e-5
STRIDES = (4, 8, 16, 32)
"""Of the pyramid's maps p2 to p5, in pixels of the picture."""


class FrozenBatchNorm(nn.Layer):
    """Batch normalisation whose four vectors are constants: a scale and a shift for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("weight", paddle.ones([channels]))
        self.register_buffer("bias", paddle.zeros([channels]))
        self.register_buffer("running_mean", paddle.zeros([channels]))
        self.register_buffer("running_var", paddle.full([channels], 1 - EPSILON))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * paddle.rsqrt(self.running_var + EPSILON)
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape([1, -1, 1, 1]) + shift.reshape([1, -1, 1, 1])


class NormedConv(nn.Conv2D):
    """A convolution that keeps the size where ``stride`` is 1, and the normalisation after it."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, norm: Norm):
        spread = math.sqrt(2 / (size * size * outputs))
        super().__init__(
            inputs,
            outputs,
            size,
            stride=stride,
            padding=size // 2,
            weight_attr=nn.initializer.Normal(0.0, spread),
            bias_attr=False,
        )
        self.norm = FrozenBatchNorm(outputs) if norm == "frozen" else nn.BatchNorm2D(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


class Block(nn.Layer):
    """A residual block: two 3 x 3 convolutions (ResNet-18, 34), or 1 x 1, 3 x 3 and 1 x 1 with a quarter of the
    channels in the middle; the first of size 3 has the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm, *, bottleneck: bool):
        super().__init__()
        inner = outputs // 4
        self.conv3: NormedConv | None = None
        if bottleneck:
            self.conv1 = NormedConv(inputs, inner, 1, 1, norm)
            self.conv2 = NormedConv(inner, inner, 3, stride, norm)
            self.conv3 = NormedConv(inner, outputs, 1, 1, norm)
        else:
            self.conv1 = NormedConv(inputs, outputs, 3, stride, norm)
            self.conv2 = NormedConv(outputs, outputs, 3, 1, norm)
        self.shortcut = NormedConv(inputs, outputs, 1, stride, norm) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(F.relu(self.conv1(x)))
        if self.conv3 is not None:
            out = self.conv3(F.relu(out))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


class Stem(nn.Layer):
    """A 7 x 7 convolution and a pooling, each of stride 2."""

    def __init__(self, outputs: int, norm: Norm):
        super().__init__()
        self.conv1 = NormedConv(3, outputs, 7, 2, norm)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.conv1(x)), 3, 2, 1)


class ResNet(nn.Layer):
    """Maps res2 to res5, at 1/4 to 1/32 of the picture.

    Args:
        depth: layers.
        width: channels of the stem, 64 in the paper.
        norm: how its convolutions are normalised.
        frozen: how many parts are not trained: 1 is the stem, 2 res2 as well.
    """

    def __init__(self, depth: Depth, width: int, norm: Norm, frozen: int):
        super().__init__()
        bottleneck = depth >= 50
        self.stem = Stem(width, norm)
        inputs, self.channels = width, []
        for number, blocks in enumerate(BLOCKS[depth], start=2):
            outputs = width * 2 ** (number - 2) * (4 if bottleneck else 1)
            made = []
            for place in range(blocks):
                stride = 2 if number > 2 and not place else 1
                made.append(Block(inputs, outputs, stride, norm, bottleneck=bottleneck))
                inputs = outputs
            self.add_sublayer(f"res{number}", nn.Sequential(*made))
            self.channels.append(outputs)
        for part in [self.stem, self.res2, self.res3, self.res4, self.res5][:frozen]:
            for parameter in part.parameters():
                parameter.stop_gradient = True

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in (self.res2, self.res3, self.res4, self.res5):
            x = stage(x)
            maps.append(x)
        return maps


def pyramid_conv(inputs: int, outputs: int, size: int) -> nn.Conv2D:
    """A convolution of the pyramid, drawn uniformly with variance 1 / inputs per output (Xavier, as Caffe2 has it)."""
    bound = math.sqrt(3 / (inputs * size * size))
    return nn.Conv2D(
        inputs,
        outputs,
        size,
        padding=size // 2,
        weight_attr=nn.initializer.Uniform(-bound, bound),
        bias_attr=nn.initializer.Constant(0.0),
    )


def doubled(x_NDHW: Tensor, *, trained: bool = False) -> Tensor:
    """Each cell four times, [N, D, 2 H, 2 W]: nearest neighbour.

    ``trained``: gradients are wanted, and added in interpolation's order. An exported network has none, since oneDNN
    and ONNX's converter refuse the factors that Paddle writes down with it.
    """
    if trained:
        return F.interpolate(x_NDHW, scale_factor=2, mode="nearest")
    rows = paddle.stack([x_NDHW, x_NDHW], axis=3).flatten(2, 3)
    return paddle.stack([rows, rows], axis=4).flatten(3, 4)


class FPN(nn.Layer):
    """The feature pyramid: maps p2 to p5 of ``outputs`` channels each, of pictures [N, 3, H, W] whose sides are
    multiples of 32."""

    def __init__(self, bottom_up: ResNet, outputs: int):
        super().__init__()
        for number, inputs in enumerate(bottom_up.channels, start=2):
            self.add_sublayer(f"fpn_lateral{number}", pyramid_conv(inputs, outputs, 1))
            self.add_sublayer(f"fpn_output{number}", pyramid_conv(outputs, outputs, 3))
        self.bottom_up = bottom_up

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps = self.bottom_up(pictures)
        laterals = (self.fpn_lateral2, self.fpn_lateral3, self.fpn_lateral4, self.fpn_lateral5)
        outputs = (self.fpn_output2, self.fpn_output3, self.fpn_output4, self.fpn_output5)
        x = laterals[3](maps[3])
        made = [outputs[3](x)]
        for level in (2, 1, 0):
            x = laterals[level](maps[level]) + doubled(x, trained=self.training)
            made.append(outputs[level](x))
        return made[::-1]
