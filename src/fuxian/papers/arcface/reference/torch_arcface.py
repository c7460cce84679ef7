"""IResNet and its margin head in PyTorch, the counterpart of the port's model.py, for networks of any width.

Parameter names are those of the official code, whose own IResNet has four fixed widths and 112 x 112 pictures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuxian.papers.arcface.settings import Network


class Block(nn.Module):
    """BN, 3x3 convolution, BN, PReLU, 3x3 convolution with the stride, BN; added to the input."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(x)) + shortcut


class IResNet(nn.Module):
    """Embeddings [B, features] of pictures [B, 3, side, side]."""

    def __init__(self, network: Network):
        super().__init__()
        channels = network.widths[0]
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        for number, (width, blocks) in enumerate(zip(network.widths, network.blocks, strict=True), 1):
            stage = [Block(channels, width, 2), *(Block(width, width, 1) for _ in range(blocks - 1))]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
            channels = width
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(network.dropout)
        self.fc = nn.Linear(channels * network.last_side**2, network.features)
        self.features = nn.BatchNorm1d(network.features)
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.1)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in (1, 2, 3, 4):
            x = getattr(self, f"layer{number}")(x)
        return self.features(self.fc(self.dropout(self.bn2(x).flatten(1))))


class Head(nn.Module):
    """Class centres [C, features], drawn from N(0, 0.01)."""

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features).normal_(0, 0.01))

    def forward(self, x: Tensor) -> Tensor:
        """cos(theta) [B, C]."""
        return F.linear(F.normalize(x), F.normalize(self.weight)).clamp(-1, 1)


class LinearHead(Head):
    """Logits [B, C] without scale or bias."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def margin_loss(cosines: Tensor, labels: Tensor, *, scale: float, m2: float) -> Tensor:
    """Equation 3 with its true gradient: cross entropy of s cos(theta + m) for the own class, s cos(theta) else."""
    own = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
    edge = 1 - torch.finfo(cosines.dtype).eps
    theta = torch.acos(cosines.gather(1, labels[:, None]).clamp(-edge, edge))
    logits = cosines + own * (torch.cos(theta + m2) - cosines)
    return F.cross_entropy(scale * logits, labels)
