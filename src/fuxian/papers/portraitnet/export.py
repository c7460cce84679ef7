"""PortraitNet's network for Paddle Inference: pictures in, the probability of a person out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddle import Tensor, nn

from fuxian.errors import InputError
from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput
from fuxian.papers.portraitnet.data import MEAN, PADDING, SCALE, normalised
from fuxian.papers.portraitnet.metric import THRESHOLD
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.rendered import render
from fuxian.papers.portraitnet.settings import SETTINGS
from fuxian.training.checkpoints import load_into


class Segmenter(nn.Layer):
    """Without the edge head: the auxiliary losses cost nothing once the training is over."""

    def __init__(self, network: PortraitNet):
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        return self.network.foreground(pictures)


def load_network(claim: str, weights: Path) -> PortraitNet:
    """The claim's network in evaluation mode. Raises InputError for weights of something else."""
    if claim not in SETTINGS:
        raise InputError(f"portraitnet has no network for {claim!r}; it has: {', '.join(SETTINGS)}.")
    network = PortraitNet()
    load_into(network, weights)
    network.eval()
    return network


def export(claim: str, weights: Path) -> ExportedNetwork:
    """The claim's network; the examples are generated portraits."""
    network = load_network(claim, weights)
    side = SETTINGS[claim].side
    pictures = np.stack([normalised(render(np.random.default_rng(seed), side)[0]) for seed in range(4)])
    with paddle.no_grad():
        expected = network.foreground(paddle.to_tensor(pictures)).numpy()
    mean = [round(float(value), 2) for value in MEAN]
    return ExportedNetwork(
        network=Segmenter(network),
        inputs=(
            ExportedInput(
                name="pictures",
                dtype="float32",
                shape=("batch", 3, side, side),
                preprocessing=f"BGR, scaled to fit into {side} x {side} pixels and padded with grey ({PADDING}) on both"
                f" sides; mean {mean} (B, G, R) subtracted, multiplied by {float(SCALE):.3f}; channels first",
            ),
        ),
        outputs=(
            ExportedOutput(
                name="foreground",
                shape=("batch", side, side),
                meaning=f"the probability of a person in each pixel, 0 to 1; a person above {THRESHOLD}; cut off the"
                " padding and scale back",
            ),
        ),
        examples=(pictures,),
        expected=(expected,),
        about={"threshold": THRESHOLD},
    )
