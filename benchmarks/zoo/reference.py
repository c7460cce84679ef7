"""The model of torchvision of the same name, as a recipe."""

from __future__ import annotations

import copy
import functools
import sys
from pathlib import Path

import torch
from torch.nn import functional

from fuxian import Recipe

sys.path.insert(0, str(Path(__file__).parent))
import beside_cpu  # noqa: F401
from batches import CLASSES, NAME, RATE, batches, loss_of
from torchvision import models

OPTIONS = {
    "googlenet": {"aux_logits": True, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def model() -> torch.nn.Module:
    """A copy of one model: VGG's weights take longer to draw than its passes do to run."""
    return copy.deepcopy(drawn())


@functools.cache
def drawn() -> torch.nn.Module:
    return getattr(models, NAME)(weights=None, num_classes=CLASSES, **OPTIONS.get(NAME, {}))


def forward(network: torch.nn.Module, inputs: tuple):
    outputs = network(*inputs)
    if NAME == "googlenet" and network.training:
        return outputs.logits, outputs.aux_logits1, outputs.aux_logits2
    return outputs


def recipe() -> Recipe:
    return Recipe(
        model=model,
        forward=forward,
        train_data=batches,
        eval_data=batches,
        loss=lambda outputs, targets: loss_of(functional.cross_entropy, outputs, targets),
        optimizer=lambda network: torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9),
    )
