"""PSENet's network (paper, section 3.1.1 and figure 3): ResNet, feature pyramid, one map for each kernel.

As the official code has it: the ResNet begins with three 3 x 3 convolutions instead of one 7 x 7, convolutions are
followed by batch normalisation and ReLU, all weights are drawn from a normal of variance 2 / (k k out), and layers
are named as there, so that its weights load by name.

Shape legend: N pictures, C channels, H and W the picture's height and width, K kernels.
"""

from __future__ import annotations

import math
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

Depth = Literal[18, 50, 101]
BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def conv(inputs: int, outputs: int, size: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2D:
    """A convolution that keeps the size where ``stride`` is 1. The bias, where it has one, as PyTorch draws it."""
    bound = 1 / math.sqrt(inputs * size * size)
    return nn.Conv2D(
        inputs,
        outputs,
        size,
        stride=stride,
        padding=size // 2,
        weight_attr=nn.initializer.Normal(0.0, math.sqrt(2 / (size * size * outputs))),
        bias_attr=nn.initializer.Uniform(-bound, bound) if bias else False,
    )


class BasicBlock(nn.Layer):
    """Two 3 x 3 convolutions beside the identity (He et al. 2016, figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2D(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2D(width)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Layer):
    """1 x 1, 3 x 3 (which has the stride) and 1 x 1 convolutions beside the identity (ibid., right)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = width * self.expansion
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2D(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2D(width)
        self.conv3, self.bn3 = conv(width, outputs, 1), nn.BatchNorm2D(outputs)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Layer | None:
    """The projection beside a block that changes the shape; None where it does not."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2D(outputs))


class ResNet(nn.Layer):
    """The backbone: features at 1/4, 1/8, 1/16 and 1/32 of the picture, fewest channels first."""

    def __init__(self, depth: Depth, width: int):
        super().__init__()
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock if depth == 18 else Bottleneck
        self.conv1, self.bn1 = conv(3, width, 3, 2), nn.BatchNorm2D(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2D(width)
        self.conv3, self.bn3 = conv(width, 2 * width, 3), nn.BatchNorm2D(2 * width)
        inputs = 2 * width
        self.channels = []
        for stage, blocks in enumerate(BLOCKS[depth]):
            narrow = width * 2**stage
            layers = []
            for number in range(blocks):
                layers.append(block(inputs, narrow, 2 if stage and not number else 1))
                inputs = narrow * block.expansion
            self.add_sublayer(f"layer{stage + 1}", nn.Sequential(*layers))
            self.channels.append(inputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        c2 = self.layer1(x)
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)


class ConvBNReLU(nn.Layer):
    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, size), nn.BatchNorm2D(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def scaled_to(x: Tensor, like: Tensor) -> Tensor:
    """``x`` scaled bilinearly to the height and width of ``like``, corners not aligned."""
    return F.interpolate(x, size=paddle.shape(like)[2:], mode="bilinear", align_corners=False)


class FPN(nn.Layer):
    """The feature pyramid: four maps of ``outputs`` channels, all scaled to 1/4 of the picture."""

    def __init__(self, channels: list[int], outputs: int):
        super().__init__()
        c2, c3, c4, c5 = channels
        self.toplayer_ = ConvBNReLU(c5, outputs, 1)
        self.smooth1_ = ConvBNReLU(outputs, outputs, 3)
        self.smooth2_ = ConvBNReLU(outputs, outputs, 3)
        self.smooth3_ = ConvBNReLU(outputs, outputs, 3)
        self.latlayer1_ = ConvBNReLU(c4, outputs, 1)
        self.latlayer2_ = ConvBNReLU(c3, outputs, 1)
        self.latlayer3_ = ConvBNReLU(c2, outputs, 1)

    def forward(self, c2: Tensor, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, ...]:
        p5 = self.toplayer_(c5)
        c4 = self.latlayer1_(c4)
        p4 = self.smooth1_(scaled_to(p5, c4) + c4)
        c3 = self.latlayer2_(c3)
        p3 = self.smooth2_(scaled_to(p4, c3) + c3)
        c2 = self.latlayer3_(c2)
        p2 = self.smooth3_(scaled_to(p3, c2) + c2)
        return p2, scaled_to(p3, p2), scaled_to(p4, p2), scaled_to(p5, p2)


class Head(nn.Layer):
    """K maps of logits from the pyramid's concatenated features."""

    def __init__(self, inputs: int, hidden: int, kernels: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, hidden, 3, bias=True), nn.BatchNorm2D(hidden)
        self.conv2 = conv(hidden, kernels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(F.relu(self.bn1(self.conv1(x))))


class PSENet(nn.Layer):
    """Logits [N, K, H, W] of the K kernels of pictures [N, 3, H, W] whose sides are multiples of 32.

    Map 0 is the whole text, map K - 1 the smallest kernel. Pictures are RGB in [0, 1], normalised by ImageNet's
    mean and standard deviation.

    Args:
        depth: of the ResNet.
        width: channels of the first convolution; 64 is the paper's.
        pyramid: channels of the feature pyramid and of the head's convolution; 256 is the official code's.
        kernels: K, 7 in the paper.
    """

    def __init__(self, depth: Depth = 50, *, width: int = 64, pyramid: int = 256, kernels: int = 7):
        super().__init__()
        self.backbone = ResNet(depth, width)
        self.fpn = FPN(self.backbone.channels, pyramid)
        self.det_head = Head(4 * pyramid, pyramid, kernels)

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.fpn(*self.backbone(pictures))
        return scaled_to(self.det_head(paddle.concat(features, axis=1)), pictures)
