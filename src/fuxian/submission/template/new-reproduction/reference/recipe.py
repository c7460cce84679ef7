"""The reference's recipe: the same parts, in the framework of the paper's own code."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from fuxian.recipe import Recipe
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import CLASSES, test_data, train_data
from metric import Accuracy

LEARNING_RATE = 0.01


class WaveformNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 16, 7, padding=3)
        self.conv2 = nn.Conv1d(16, 32, 7, padding=3, stride=2)
        self.head = nn.Linear(32, CLASSES)
        for layer in (self.conv1, self.conv2, self.head):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return self.head(x.mean(-1))


def recipe(
    claim: str = "waveforms", *, seed: int = 0, iterations: int = 200, eval_split: str = "test"
) -> Recipe:
    return Recipe(
        model=WaveformNet,
        train_data=lambda: train_data(iterations, seed),
        eval_data=lambda: test_data(eval_split),
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=lambda model: (torch.optim.Adam(model.parameters(), LEARNING_RATE), None),
        metric=Accuracy,
    )
