"""PSENet in PyTorch, part for part as the official code computes it and with its layers' names, in any width.

The official classes fix their widths; this one is equal to them where they meet (tests/papers/psenet) and is what
the scaled run's reference trains.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def conv(inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    made = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias)
    nn.init.normal_(made.weight, 0.0, math.sqrt(2 / (size * size * outputs)))
    return made


class Block(nn.Module):
    """A residual block of convolutions of the given ``sizes``; the first of size 3 has the stride."""

    def __init__(self, widths: tuple[int, ...], sizes: tuple[int, ...], stride: int):
        super().__init__()
        self.count = len(sizes)
        for number, size in enumerate(sizes, start=1):
            step = stride if number == sizes.index(3) + 1 else 1
            setattr(self, f"conv{number}", conv(widths[number - 1], widths[number], size, step))
            setattr(self, f"bn{number}", nn.BatchNorm2d(widths[number]))
        self.downsample = None
        if stride != 1 or widths[0] != widths[-1]:
            self.downsample = nn.Sequential(
                conv(widths[0], widths[-1], 1, stride), nn.BatchNorm2d(widths[-1])
            )

    def forward(self, x):
        out = x
        for number in range(1, self.count + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            if number < self.count:
                out = F.relu(out)
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, depth: int, width: int):
        super().__init__()
        self.conv1, self.bn1 = conv(3, width, 3, 2), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 2 * width, 3), nn.BatchNorm2d(2 * width)
        inputs, self.channels = 2 * width, []
        for stage, blocks in enumerate(BLOCKS[depth]):
            narrow = width * 2**stage
            outputs = narrow if depth == 18 else 4 * narrow
            layers = []
            for number in range(blocks):
                stride = 2 if stage and not number else 1
                if depth == 18:
                    layers.append(Block((inputs, narrow, narrow), (3, 3), stride))
                else:
                    layers.append(Block((inputs, narrow, narrow, outputs), (1, 3, 1), stride))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
            self.channels.append(outputs)

    def forward(self, x):
        for number in (1, 2, 3):
            x = F.relu(getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        features = []
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            features.append(x)
        return features


class ConvBNReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, size), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def scaled_to(x, like):
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class FPN(nn.Module):
    def __init__(self, channels: list[int], outputs: int):
        super().__init__()
        self.toplayer_ = ConvBNReLU(channels[3], outputs, 1)
        for number in (1, 2, 3):
            setattr(self, f"smooth{number}_", ConvBNReLU(outputs, outputs, 3))
            setattr(self, f"latlayer{number}_", ConvBNReLU(channels[3 - number], outputs, 1))

    def forward(self, c2, c3, c4, c5):
        maps = [self.toplayer_(c5)]
        for number, below in ((1, c4), (2, c3), (3, c2)):
            lateral = getattr(self, f"latlayer{number}_")(below)
            maps.append(getattr(self, f"smooth{number}_")(scaled_to(maps[-1], lateral) + lateral))
        return [maps[3], *(scaled_to(one, maps[3]) for one in (maps[2], maps[1], maps[0]))]


class Head(nn.Module):
    def __init__(self, inputs: int, hidden: int, kernels: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, hidden, 3, bias=True), nn.BatchNorm2d(hidden)
        self.conv2 = conv(hidden, kernels, 1, bias=True)

    def forward(self, x):
        return self.conv2(F.relu(self.bn1(self.conv1(x))))


class PSENet(nn.Module):
    """Logits [N, K, H, W] of pictures [N, 3, H, W]; arguments as the port's."""

    def __init__(self, depth: int = 50, *, width: int = 64, pyramid: int = 256, kernels: int = 7):
        super().__init__()
        self.backbone = ResNet(depth, width)
        self.fpn = FPN(self.backbone.channels, pyramid)
        self.det_head = Head(4 * pyramid, pyramid, kernels)

    def forward(self, pictures):
        return scaled_to(self.det_head(torch.cat(self.fpn(*self.backbone(pictures)), 1)), pictures)


def loss(logits, targets):
    """0.7 dice of the text on hard pixels and 0.3 mean dice of the kernels on the text's pixels."""
    text, kernels, mask = (target.to(logits.dtype) for target in targets)
    hard = torch.stack([hard_pixels(*one) for one in zip(logits[:, 0].detach(), text, mask, strict=True)])
    of_text = 0.7 * dice(logits[:, 0], text, hard.to(logits.dtype)).mean()
    inside = text * mask
    per_kernel = [dice(logits[:, 1 + k], kernels[:, k], inside) for k in range(kernels.shape[1])]
    of_kernels = 0.3 * torch.stack(per_kernel, 1).mean()
    return {"total": of_text + of_kernels, "text": of_text, "kernels": of_kernels}


def dice(logits, target, mask):
    predicted = (torch.sigmoid(logits) * mask).flatten(1)
    wanted = (target * mask).flatten(1)
    squares = (predicted.square().sum(1) + 1e-3) + (wanted.square().sum(1) + 1e-3)
    return 1 - 2 * (predicted * wanted).sum(1) / squares


def hard_pixels(scores, text, mask):
    text, mask = text > 0.5, mask > 0.5
    negatives = scores[~text]
    wanted = min(3 * int((text & mask).sum()), len(negatives))
    if not wanted:
        return mask
    threshold = torch.sort(negatives, descending=True)[0][wanted - 1]
    return mask & (text | (scores >= threshold))
