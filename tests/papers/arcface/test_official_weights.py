"""Weights under the official code's names go where they belong in the port."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import paddle
import pytest
from paddle import nn

from fuxian.papers.arcface.model import IResNet, MobileFaceNet
from fuxian.papers.arcface.reference.cases import drawn_weight
from fuxian.papers.arcface.reference.parity import RECORDED, official_name
from fuxian.papers.arcface.settings import IRESNETS
from fuxian.weights import apply, load_tensors, plan


def _network(name: str) -> nn.Layer:
    return MobileFaceNet() if name == "mbf" else IResNet(replace(IRESNETS[name], side=32))


@pytest.mark.parametrize("name", ["mbf", "r18"])
def test_an_official_file_is_mapped_without_help(name):
    network = _network(name)
    linear = {f"{path}.weight" for path, part in network.named_sublayers() if isinstance(part, nn.Linear)}
    official, wanted = {}, {}
    for path, value in network.state_dict().items():
        shape = tuple(value.shape)
        drawn = drawn_weight(official_name(path), shape[::-1] if path in linear else shape).astype(np.float32)
        official[official_name(path)] = drawn
        wanted[path] = drawn.T if path in linear else drawn
    # The recorded gradients have the official code's own names.
    recorded = {key.removeprefix("gradient/") for key in load_tensors(RECORDED / f"{name}.safetensors")}
    learned = {path for path in recorded if not path.startswith(("steps/", "head.", "embeddings", "loss"))}
    assert learned <= set(official)
    official |= {
        path.replace("running_mean", "num_batches_tracked"): np.array(7)
        for path in official
        if path.endswith("running_mean")
    }
    carried = apply(plan(network, official), official)
    assert carried.keys() == wanted.keys()
    for path, value in wanted.items():
        np.testing.assert_array_equal(carried[path], value, err_msg=path)
    network.set_state_dict({path: paddle.to_tensor(value) for path, value in carried.items()})
