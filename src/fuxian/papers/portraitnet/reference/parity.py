"""The port on the parity case: what it computes, beside what the official code computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle

from fuxian.align.sketch import ABSOLUTE, L2, LENGTH, SUM, sketch
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.recipe import optimizer, recipe, trained
from fuxian.papers.portraitnet.reference.cases import STEPS, batch, drawn_weight
from fuxian.papers.portraitnet.settings import SETTINGS
from fuxian.weights import load_tensors

RECORDED = Path(__file__).parent / "official.safetensors"
ZERO = 1e-6
"""Of the whole gradient's norm: a difference of a billionth of this is what float64 rounds."""


def official_name(name: str) -> str:
    """The official code's name of a parameter or buffer of the port."""
    return name.replace("._mean", ".running_mean").replace("._variance", ".running_var")


def build(dtype: str) -> PortraitNet:
    """The port's network with the case's weights, in training mode."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        network = PortraitNet()
    finally:
        paddle.set_default_dtype(before)
    for name, value in network.state_dict().items():
        value.set_value(drawn_weight(official_name(name), tuple(value.shape)).astype(dtype))
    network.train()
    return network


def outputs_and_losses(network: PortraitNet, step: int, dtype: str) -> tuple[dict, dict]:
    """Of a step's batch, as the recipe of the paper's own claim computes them."""
    augmented, original, mask, edge = batch(step)
    inputs = tuple(paddle.to_tensor(one.astype(dtype)) for one in (augmented, original))
    outputs = trained(network, inputs)
    parts = recipe("eg1800")
    assert parts.loss is not None  # noqa: S101
    return outputs, parts.loss(outputs, (paddle.to_tensor(mask), paddle.to_tensor(edge)))


def one_batch() -> dict[str, np.ndarray]:
    """Outputs, losses and gradients of the first batch in float64, as ``official.py`` records them."""
    network = build("float64")
    outputs, losses = outputs_and_losses(network, 0, "float64")
    losses["total"].backward()
    found = {f"output/{name}": sketch(value.numpy()) for name, value in outputs.items()}
    found |= {f"loss/{name}": value.numpy() for name, value in losses.items()}
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            found[f"gradient/{name}"] = sketch(parameter.grad.numpy())
    return found


def float32_losses() -> np.ndarray:
    """The losses of the first steps with the claim's optimizer."""
    network = build("float32")
    adam, _ = optimizer(network, SETTINGS["portraits"], 10**9)
    found = []
    for step in range(STEPS):
        total = outputs_and_losses(network, step, "float32")[1]["total"]
        total.backward()
        adam.step()
        adam.clear_grad()
        found.append(float(total))
    return np.array(found)


def differences(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each sketch from the recorded one, relative to the tensor's L2 norm.

    A weight that a later BN scales out again may have a gradient of 0, and rounding is all that stands there: a
    gradient below a millionth of the whole one is measured against that millionth.
    """
    recorded = load_tensors(RECORDED)
    wanted = {
        name: value for name, value in recorded.items() if name.startswith(("output/", "loss/", "gradient/"))
    }
    if wanted.keys() != found.keys():
        raise ValueError(f"recorded and computed differ in {sorted(wanted.keys() ^ found.keys())}")
    gradients = [value[L2] for name, value in wanted.items() if name.startswith("gradient/")]
    whole = float(np.sqrt(np.square(gradients).sum()))
    result = {}
    for name, value in wanted.items():
        if name.startswith("loss/"):
            size = np.abs(value)
        else:
            size = np.full(LENGTH, max(value[L2], ZERO * whole))
            # Sums over all elements grow with their number.
            size[[SUM, ABSOLUTE]] = np.maximum(value[ABSOLUTE], size[L2])
        result[name] = float((np.abs(value - found[name]) / size).max())
    return result
