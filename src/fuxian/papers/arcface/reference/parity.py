"""The port on the parity cases: what it computes, beside what the official code computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from fuxian.align.sketch import ABSOLUTE, L2, LENGTH, SUM, sketch
from fuxian.papers.arcface import model
from fuxian.papers.arcface.partial_fc import PartialFC
from fuxian.papers.arcface.reference.cases import CASES, CLASSES, Case, batch, drawn_weight
from fuxian.papers.arcface.settings import IRESNETS
from fuxian.weights import load_tensors

RECORDED = Path(__file__).parent / "official"
ZERO = 1e-6
"""Of the whole gradient's norm: a difference of a billionth of this is what float64 rounds."""


def build(case: Case, dtype: str) -> tuple[nn.Layer, PartialFC]:
    """The port's network and head with the case's weights."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        if case.network == "mbf":
            network: nn.Layer = model.MobileFaceNet()
        else:
            network = model.IResNet(replace(IRESNETS[case.network], side=case.side))
        head = PartialFC(CLASSES, 512, case.margin)
    finally:
        paddle.set_default_dtype(before)
    for prefix, layer in (("", network), ("head.", head)):
        linear = {f"{n}.weight" for n, part in layer.named_sublayers() if isinstance(part, nn.Linear)}
        for name, value in layer.state_dict().items():
            if name != "features.weight":
                shape = tuple(value.shape)
                drawn = drawn_weight(prefix + official_name(name), shape[::-1] if name in linear else shape)
                value.set_value((drawn.T if name in linear else drawn).astype(dtype))
    network.train()
    return network, head


def official_name(name: str) -> str:
    """The official code's name of a parameter or buffer of the port."""
    prefix, _, last = name.rpartition(".")
    renamed = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}
    return f"{prefix}.{renamed.get(last, last)}" if prefix else name


def one_batch(case: Case) -> dict[str, np.ndarray]:
    """Embeddings, loss and gradients of the case's first batch in float64, as ``official.py`` records them."""
    network, head = build(case, "float64")
    pictures, labels = batch(case)
    embeddings = network(paddle.to_tensor(pictures))
    loss = head(embeddings, paddle.to_tensor(labels))
    loss.backward()
    found = {"embeddings": sketch(embeddings.numpy()), "loss": loss.numpy()}
    for prefix, layer in (("", network), ("head.", head)):
        linear = {f"{n}.weight" for n, part in layer.named_sublayers() if isinstance(part, nn.Linear)}
        for name, parameter in layer.named_parameters():
            if parameter.grad is not None:
                gradient = parameter.grad.numpy()
                gradient = gradient.T if name in linear else gradient
                found[f"gradient/{prefix}{official_name(name)}"] = sketch(gradient)
    return found


def differences(name: str, found: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest difference of each sketch from the recorded one, relative to the tensor's L2 norm.

    A bias that a later BN takes out again has a gradient of 0, and rounding is all that stands there: a gradient
    below a millionth of the whole one is measured against that millionth.
    """
    recorded = load_tensors(RECORDED / f"{name}.safetensors")
    wanted = {key: value for key, value in recorded.items() if not key.startswith("steps/")}
    if wanted.keys() != found.keys():
        raise ValueError(f"recorded and computed differ in {sorted(wanted.keys() ^ found.keys())}")
    gradients = [value[L2] for key, value in wanted.items() if key.startswith("gradient/")]
    whole = float(np.sqrt(np.square(gradients).sum()))
    result = {}
    for key, value in wanted.items():
        size = np.abs(value) if key == "loss" else np.full(LENGTH, max(value[L2], ZERO * whole))
        if key != "loss":
            # Sums over all elements grow with their number.
            size[[SUM, ABSOLUTE]] = np.maximum(value[ABSOLUTE], size[L2])
        result[key] = float((np.abs(value - found[key]) / size).max())
    return result


def compare(name: str) -> dict[str, float]:
    """``differences`` of a case that is computed now."""
    return differences(name, one_batch(CASES[name]))
