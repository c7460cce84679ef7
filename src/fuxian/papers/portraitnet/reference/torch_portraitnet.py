"""PortraitNet in PyTorch with the official code's names, the counterpart of the port's model.py and loss.py.

Equal to the official code, which needs Python 2 and a GPU as it stands (tests/papers/portraitnet).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fuxian.papers.portraitnet.model import DECODER, STAGES, bilinear


def conv(inputs, outputs, size, stride=1, groups=1):
    made = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(made.weight)
    return made


def deconv(channels):
    made = nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(bilinear()))
    return made


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            conv(inputs, inner, 1),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            conv(inner, inner, 3, stride, inner),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            conv(inner, outputs, 1),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class DBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        separable = nn.Sequential(
            conv(inputs, inputs, 3, 1, inputs),
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            conv(inputs, outputs, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )
        self.block = nn.Sequential(
            separable,
            conv(outputs, outputs, 3, 1, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            conv(outputs, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        self.residual = nn.Sequential(conv(inputs, outputs, 1), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.block(x) + self.residual(x))


class PortraitNet(nn.Module):
    """Logits of the mask, and with an edge head those of the boundary, of pictures [N, 3, H, W]."""

    def __init__(self, edge: bool = True):
        super().__init__()
        self.stage0 = nn.Sequential(conv(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU())
        inputs = 32
        for number, (expansion, channels, blocks, stride) in enumerate(STAGES, 1):
            made = []
            for place in range(blocks):
                made.append(InvertedResidual(inputs, channels, stride if not place else 1, expansion))
                inputs = channels
            setattr(self, f"stage{number}", made[0] if blocks == 1 else nn.Sequential(*made))
        for number, channels in enumerate(DECODER, 1):
            setattr(self, f"transit{number}", DBlock(inputs, channels))
            setattr(self, f"deconv{number}", deconv(channels))
            inputs = channels
        self.pred = conv(inputs, 2, 3)
        self.edge = conv(inputs, 2, 3) if edge else None

    def features(self, pictures):
        quarter = self.stage2(self.stage1(self.stage0(pictures)))
        eighth = self.stage3(quarter)
        sixteenth = self.stage5(self.stage4(eighth))
        x = self.deconv1(self.transit1(self.stage7(self.stage6(sixteenth))))
        x = self.deconv2(self.transit2(sixteenth + x))
        x = self.deconv3(self.transit3(eighth + x))
        x = self.deconv4(self.transit4(quarter + x))
        return self.deconv5(self.transit5(x))

    def forward(self, pictures):
        features = self.features(pictures)
        return (self.pred(features), *(() if self.edge is None else (self.edge(features),)))

    def foreground(self, pictures):
        return F.softmax(self.pred(self.features(pictures)), 1)[:, 1]


def mask_loss(logits, mask):
    return F.cross_entropy(logits, mask, ignore_index=255)


def edge_loss(logits, edge):
    own = F.log_softmax(logits, 1).gather(1, edge[:, None])
    return -((1 - own.detach().exp()) ** 2 * own).mean()


def consistency_loss(logits, original):
    return F.kl_div(F.log_softmax(logits, 1), F.softmax(original.detach(), 1), reduction="mean")
