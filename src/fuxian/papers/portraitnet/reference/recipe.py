"""PortraitNet's experiments as PyTorch recipes, part for part the counterpart of the port's recipe.py.

fuxian align run portraitnet/training
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fuxian.papers.portraitnet import data
from fuxian.papers.portraitnet.metric import metric
from fuxian.papers.portraitnet.recipe import IMAGENET, factor
from fuxian.papers.portraitnet.reference.torch_portraitnet import (
    PortraitNet,
    consistency_loss,
    edge_loss,
    mask_loss,
)
from fuxian.papers.portraitnet.settings import ALIGNED, SETTINGS, Setting
from fuxian.recipe import Recipe
from fuxian.weights import load_tensors


def recipe(
    claim: str = "portraits",
    *,
    seed: int = 0,
    iterations: int = 10,
    eval_split: data.Split = "test",
    edge: bool = True,
    consistency: bool = True,
    setting: Setting | None = None,
) -> Recipe:
    """The reference recipe of a claim; arguments as the port's."""
    numbers = setting or SETTINGS[claim]

    def model() -> PortraitNet:
        made = PortraitNet(edge)
        if numbers.start == "imagenet":
            begin_from_imagenet(made)
        return made

    def forward(network: PortraitNet, inputs: tuple) -> Any:
        if not network.training:
            with torch.no_grad():
                return network.foreground(inputs[0])
        augmented, original = inputs
        outputs = dict(zip(("mask", "edge"), network(augmented), strict=False))
        return {**outputs, "original": network(original)[0]} if consistency else outputs

    def losses(outputs: dict, targets: tuple) -> dict:
        mask, boundary = targets
        found = {"mask": mask_loss(outputs["mask"], mask)}
        if consistency:
            found["original"] = mask_loss(outputs["original"], mask)
            apart = consistency_loss(outputs["mask"], outputs["original"])
            found["consistency"] = numbers.consistency_weight * apart
        if edge:
            found["edge"] = numbers.edge_weight * edge_loss(outputs["edge"], boundary)
        return {"total": sum(list(found.values())[1:], found["mask"]), **found}

    def optimizer(network: PortraitNet) -> tuple[Any, Any]:
        adam = torch.optim.Adam(
            network.parameters(), lr=numbers.learning_rate, weight_decay=numbers.weight_decay
        )
        return adam, torch.optim.lr_scheduler.LambdaLR(adam, factor(numbers, iterations))

    return Recipe(
        model=model,
        train_data=lambda: data.training(numbers, length=iterations, seed=seed),
        eval_data=lambda: data.evaluation(numbers, eval_split),
        forward=forward,
        loss=losses,
        optimizer=optimizer,
        metric=metric,
    )


def begin_from_imagenet(network: PortraitNet) -> None:
    """Gives the encoder ImageNet's weights; the file has the port's names."""
    state = network.state_dict()
    with torch.no_grad():
        for name, value in load_tensors(IMAGENET).items():
            theirs = name.replace("._mean", ".running_mean").replace("._variance", ".running_var")
            state[theirs].copy_(torch.from_numpy(value.astype(np.float32)))


def aligned(entry: str = "training") -> Recipe:
    """What ``fuxian align`` compares."""
    parts = recipe("eg1800", setting=ALIGNED, iterations=2)
    parts = replace(parts, model=lambda: conditioned(PortraitNet()))
    if entry == "testing":
        return replace(parts, forward=tested, train_data=None, loss=None, optimizer=None)
    batches = data.training(ALIGNED, length=2, seed=1)
    return replace(parts, forward=trained, eval_data=lambda: batches, metric=None)


def conditioned(network: PortraitNet) -> PortraitNet:
    """Deconvolutions that begin as a mean over the channels, and shifts of BN at 0.1, as in the port's."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith("deconv"):
                weight.div_(weight.shape[0])
            if name.endswith("bias"):
                weight.fill_(0.1)
    return network


def trained(network: PortraitNet, inputs: tuple) -> dict:
    mask, edge = network(inputs[0])
    return {"mask": mask, "edge": edge, "original": network(inputs[1])[0]}


def tested(network: PortraitNet, inputs: tuple) -> Any:
    with torch.no_grad():
        return network.eval().foreground(inputs[0])
