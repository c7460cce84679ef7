"""PortraitNet's network (paper, section 3.1): MobileNetV2 with ReLU, a decoder that adds skips at 1/16, 1/8 and 1/4.

Layers have the official code's names, so that its weights fit by name. Shape legend: N pictures, H and W their height
and width (multiples of 32), K the two classes background and person.
"""

from __future__ import annotations

import math

import numpy as np
import paddle
from paddle import Tensor, nn

CLASSES = 2
STAGES = (
    # expansion, channels, blocks, stride (MobileNetV2, table 2)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
DECODER = (96, 32, 24, 16, 8)


def conv(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2D:
    """A convolution without bias that keeps the size where ``stride`` is 1, drawn as He et al. (2015) for ReLU."""
    return nn.Conv2D(
        inputs,
        outputs,
        size,
        stride=stride,
        padding=size // 2,
        groups=groups,
        weight_attr=nn.initializer.Normal(0.0, math.sqrt(2 * groups / (inputs * size * size))),
        bias_attr=False,
    )


def bilinear(size: int = 4) -> np.ndarray:
    """The kernel [size, size] of bilinear interpolation by ``size / 2``."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    one = 1 - np.abs(np.arange(size) - centre) / factor
    return one[:, None] * one


def deconv(channels: int) -> nn.Conv2DTranspose:
    """Twice the size. Every pair of channels begins with the bilinear kernel, as in the official code, so that at first
    the sum over the channels comes out."""
    weight = np.broadcast_to(bilinear(), (channels, channels, 4, 4))
    return nn.Conv2DTranspose(
        channels,
        channels,
        4,
        stride=2,
        padding=1,
        weight_attr=nn.initializer.Assign(weight.astype(paddle.get_default_dtype())),
        bias_attr=False,
    )


class InvertedResidual(nn.Layer):
    """Expand 1 x 1, depthwise 3 x 3, project 1 x 1 without activation; added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        # The official code expands by 1 with a convolution too, where MobileNetV2 has none.
        self.conv = nn.Sequential(
            conv(inputs, inner, 1),
            nn.BatchNorm2D(inner),
            nn.ReLU(),
            conv(inner, inner, 3, stride=stride, groups=inner),
            nn.BatchNorm2D(inner),
            nn.ReLU(),
            conv(inner, outputs, 1),
            nn.BatchNorm2D(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class DBlock(nn.Layer):
    """The decoder's block (figure 3): two depthwise separable convolutions beside a 1 x 1 one."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.block = nn.Sequential(
            nn.Sequential(
                conv(inputs, inputs, 3, groups=inputs),
                nn.BatchNorm2D(inputs),
                nn.ReLU(),
                conv(inputs, outputs, 1),
                nn.BatchNorm2D(outputs),
                nn.ReLU(),
            ),
            conv(outputs, outputs, 3, groups=outputs),
            nn.BatchNorm2D(outputs),
            nn.ReLU(),
            conv(outputs, outputs, 1),
            nn.BatchNorm2D(outputs),
        )
        self.residual = nn.Sequential(conv(inputs, outputs, 1), nn.BatchNorm2D(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.block(x) + self.residual(x))


class PortraitNet(nn.Layer):
    """Logits of pictures [N, 3, H, W], BGR as ``data.normalised`` gives them; 2.08 million parameters.

    ``edge``: whether there is the head of the boundary loss, which only training needs.
    """

    def __init__(self, edge: bool = True):
        super().__init__()
        self.stage0 = nn.Sequential(conv(3, 32, 3, stride=2), nn.BatchNorm2D(32), nn.ReLU())
        inputs = 32
        for number, (expansion, channels, blocks, stride) in enumerate(STAGES, 1):
            made = []
            for place in range(blocks):
                made.append(InvertedResidual(inputs, channels, stride if not place else 1, expansion))
                inputs = channels
            self.add_sublayer(f"stage{number}", made[0] if blocks == 1 else nn.Sequential(*made))
        for number, channels in enumerate(DECODER, 1):
            self.add_sublayer(f"transit{number}", DBlock(inputs, channels))
            self.add_sublayer(f"deconv{number}", deconv(channels))
            inputs = channels
        self.pred = conv(inputs, CLASSES, 3)
        self.edge = conv(inputs, CLASSES, 3) if edge else None

    def features(self, pictures: Tensor) -> Tensor:
        """[N, 8, H, W], what both heads see."""
        half = self.stage1(self.stage0(pictures))
        quarter = self.stage2(half)
        eighth = self.stage3(quarter)
        sixteenth = self.stage5(self.stage4(eighth))
        x = self.stage7(self.stage6(sixteenth))
        x = self.deconv1(self.transit1(x))
        x = self.deconv2(self.transit2(sixteenth + x))
        x = self.deconv3(self.transit3(eighth + x))
        x = self.deconv4(self.transit4(quarter + x))
        return self.deconv5(self.transit5(x))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits [N, K, H, W] of the mask, and with an edge head those of the boundary."""
        features = self.features(pictures)
        return (self.pred(features), *(() if self.edge is None else (self.edge(features),)))

    def foreground(self, pictures: Tensor) -> Tensor:
        """The probability [N, H, W] of a person in each pixel."""
        return nn.functional.softmax(self.pred(self.features(pictures)), axis=1)[:, 1]
