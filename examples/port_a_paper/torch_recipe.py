"""The paper's own code, in PyTorch, cut into the parts of a recipe."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from fuxian import Recipe

sys.path.insert(0, str(Path(__file__).parent))

from textures import CLASSES, accuracy, eval_data, train_data


class ResidualBlock(nn.Module):
    """Halves the side; the shortcut is averaged, then widened."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.widen = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + self.widen(self.pool(x)))


class TextureNet(nn.Module):
    """[size, 1, SIDE, SIDE] -> [size, CLASSES]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.block1 = ResidualBlock(8, 16)
        self.block2 = ResidualBlock(16, 32)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(32, CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        x = torch.relu(self.bn(self.stem(x)))
        x = self.block2(self.block1(x)).mean((2, 3))
        return self.head(self.dropout(x))


def loss(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets[0], label_smoothing=0.1)


def recipe(
    claim: str = "textures", *, seed: int = 0, iterations: int = 300, eval_split: str = "test"
) -> Recipe:
    def optimizer(model):
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        return sgd, torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=iterations)

    return Recipe(
        model=TextureNet,
        train_data=lambda: train_data(iterations, seed),
        eval_data=lambda: eval_data(eval_split),
        loss=loss,
        optimizer=optimizer,
        metric=accuracy,
    )
