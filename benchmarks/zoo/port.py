"""A model of paddle.vision, named by ZOO_MODEL, as a recipe; with ZOO_MENDED its source is changed as mends.py says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import paddle
from paddle.nn import functional

from fuxian import Recipe

sys.path.insert(0, str(Path(__file__).parent))
from batches import CLASSES, NAME, RATE, batches, loss_of
from mends import mended


def model() -> paddle.nn.Layer:
    name, normed = NAME.removesuffix("_bn"), NAME.endswith("_bn")
    options = {"batch_norm": True} if normed else {}
    # It is given the reference's weights: its own need not be drawn.
    paddle.nn.initializer.set_global_initializer(paddle.nn.initializer.Constant(0.0))
    source = mended(name) if "ZOO_MENDED" in os.environ else paddle.vision.models
    return getattr(source, name)(num_classes=CLASSES, **options)


def forward(network: paddle.nn.Layer, inputs: tuple):
    outputs = network(*inputs)
    if NAME == "googlenet":  # gives its auxiliary heads in evaluation too
        return tuple(outputs) if network.training else outputs[0]
    return outputs


def recipe() -> Recipe:
    return Recipe(
        model=model,
        forward=forward,
        train_data=batches,
        eval_data=batches,
        loss=lambda outputs, targets: loss_of(functional.cross_entropy, outputs, targets),
        optimizer=lambda network: paddle.optimizer.Momentum(
            RATE, momentum=0.9, parameters=network.parameters()
        ),
    )
