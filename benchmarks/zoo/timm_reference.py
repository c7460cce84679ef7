"""timm's model of the pair that ZOO_MODEL names, as a recipe."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from fuxian import Recipe

sys.path.insert(0, str(Path(__file__).parent))
import beside_cpu  # noqa: F401
import timm
from batches import CLASSES, NAME, RATE, batches, square
from clas_pairs import PAIRS


def recipe() -> Recipe:
    return Recipe(
        model=lambda: timm.create_model(PAIRS[NAME].timm, num_classes=CLASSES),
        forward=lambda network, inputs: network(*inputs),
        train_data=batches,
        eval_data=batches,
        loss=square,
        optimizer=lambda network: torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9),
    )
