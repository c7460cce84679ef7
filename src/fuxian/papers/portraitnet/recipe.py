"""PortraitNet's experiments as recipes (Zhang et al., Computers & Graphics 2019, section 4).

fuxian reproduce portraitnet/portraits
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from fuxian.papers.portraitnet import data
from fuxian.papers.portraitnet.loss import consistency_loss, edge_loss, mask_loss
from fuxian.papers.portraitnet.metric import metric
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.settings import ALIGNED, SETTINGS, Setting
from fuxian.recipe import Recipe
from fuxian.weights import load_tensors

ALIGN_ENTRIES = ("training", "testing")
IMAGENET = Path(__file__).parent / "weights" / "mobilenetv2-imagenet.safetensors"
"""The encoder as ImageNet trained it; see weights/weights.toml and README.md for where it is from."""
DECAY, DECAY_EPOCHS = 0.95, 20


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
    """The recipe of a claim.

    Args:
        claim: a key of ``SETTINGS``.
        seed: of the training batches.
        iterations: the length of the training, over which the scaled run's learning rate falls.
        eval_split: "validation" holds pictures of the training part.
        edge: whether to train with the boundary loss (section 3.2).
        consistency: whether to train on the original pictures too, with the consistency constraint (section 3.3).
        setting: other numbers than the claim's own.
    """
    numbers = setting or SETTINGS[claim]

    def model() -> PortraitNet:
        made = PortraitNet(edge)
        if numbers.start == "imagenet":
            begin_from_imagenet(made)
        return made

    def forward(network: PortraitNet, inputs: tuple) -> Any:
        if not network.training:
            return network.foreground(inputs[0])
        augmented, original = inputs
        outputs = dict(zip(("mask", "edge"), network(augmented), strict=False))
        # After the augmented ones, as official: each pass moves the running statistics.
        return {**outputs, "original": network(original)[0]} if consistency else outputs

    def losses(outputs: dict[str, Tensor], targets: tuple) -> dict[str, Tensor]:
        mask, boundary = targets
        found = {"mask": mask_loss(outputs["mask"], mask)}
        if consistency:
            found["original"] = mask_loss(outputs["original"], mask)
            apart = consistency_loss(outputs["mask"], outputs["original"])
            found["consistency"] = numbers.consistency_weight * apart
        if edge:
            found["edge"] = numbers.edge_weight * edge_loss(outputs["edge"], boundary)
        return {"total": sum(list(found.values())[1:], found["mask"]), **found}

    return Recipe(
        model=model,
        train_data=lambda: data.training(numbers, length=iterations, seed=seed),
        eval_data=lambda: data.evaluation(numbers, eval_split),
        forward=forward,
        loss=losses,
        optimizer=lambda network: optimizer(network, numbers, iterations),
        metric=metric,
    )


def optimizer(network: PortraitNet, setting: Setting, iterations: int) -> tuple[Any, Any]:
    """Adam with L2 decay of every parameter, as official."""
    schedule = paddle.optimizer.lr.LambdaDecay(setting.learning_rate, factor(setting, iterations))
    made = paddle.optimizer.Adam(schedule, parameters=network.parameters(), weight_decay=setting.weight_decay)
    return made, schedule


def factor(setting: Setting, iterations: int) -> Any:
    """What multiplies the first learning rate at a step."""
    if setting.schedule == "linear":
        return lambda step: 1 - 0.99 * min(step, iterations) / iterations
    epoch = data.training(setting, length=iterations, seed=0).epoch
    return lambda step: DECAY ** (step // (epoch * DECAY_EPOCHS))


def begin_from_imagenet(network: PortraitNet) -> None:
    """Gives the encoder ImageNet's weights."""
    state = network.state_dict()
    for name, value in load_tensors(IMAGENET).items():
        state[name].set_value(value.astype(np.float32).astype(state[name].numpy().dtype))


def aligned(entry: str = "training") -> Recipe:
    """What ``fuxian align`` compares: the whole network on generated portraits of 64 x 64."""
    parts = recipe("eg1800", setting=ALIGNED, iterations=2)
    parts = replace(parts, model=lambda: conditioned(PortraitNet()))
    if entry == "testing":
        return replace(parts, forward=tested, train_data=None, loss=None, optimizer=None)
    batches = data.training(ALIGNED, length=2, seed=1)
    return replace(parts, forward=trained, eval_data=lambda: batches, metric=None)


def conditioned(network: PortraitNet) -> PortraitNet:
    """The network so begun that comparing two of them shows something.

    Deconvolutions begin as a mean over the channels: sums, in evaluation before any training, end in logits of
    millions, whose losses are 0 or infinite. Shifts of BN begin at 0.1: many have no gradient, since a later BN takes
    them out again, and from 0 rounding alone would decide which way Adam moves them; so their decay does.
    """
    for name, weight in network.named_parameters():
        if name.startswith("deconv"):
            weight.set_value(weight / weight.shape[0])
        if name.endswith("bias"):
            weight.set_value(paddle.full_like(weight, 0.1))
    return network


def trained(network: PortraitNet, inputs: tuple) -> dict[str, Tensor]:
    """Both passes of a training step."""
    mask, edge = network(inputs[0])
    return {"mask": mask, "edge": edge, "original": network(inputs[1])[0]}


def tested(network: PortraitNet, inputs: tuple) -> Tensor:
    """The probability of a person, in evaluation mode."""
    network.eval()
    return network.foreground(inputs[0])
