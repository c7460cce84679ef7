"""PSENet's network for Paddle Inference: pictures of any size in, the kernels' maps out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle

from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput
from fuxian.papers.psenet.data import DEVIATION, MEAN, normalised
from fuxian.papers.psenet.model import PSENet
from fuxian.papers.psenet.rendered import render
from fuxian.papers.psenet.settings import SETTINGS
from fuxian.training.checkpoints import load_into


def export(claim: str, weights: Path) -> ExportedNetwork:
    """The claim's network with its weights. Growing instances from the maps stays with ``detect.py``."""
    setting = SETTINGS[claim]
    model = PSENet(setting.depth, width=setting.width, pyramid=setting.pyramid, kernels=setting.kernels)
    load_into(model, weights)
    model.eval()
    pictures = np.stack([normalised(render(np.random.default_rng(seed), 128)[0]) for seed in range(2)])
    with paddle.no_grad():
        maps = model(paddle.to_tensor(pictures)).numpy()
    mean, deviation = ([round(float(value), 3) for value in values] for values in (MEAN, DEVIATION))
    return ExportedNetwork(
        network=model,
        inputs=(
            ExportedInput(
                name="pictures",
                dtype="float32",
                shape=("batch", 3, "height", "width"),
                preprocessing=f"RGB; the short side scaled to {setting.short_side} pixels, bilinear, both sides then"
                f" rounded up to multiples of 32; divided by 255, mean {mean} subtracted, divided by {deviation}",
            ),
        ),
        outputs=(
            ExportedOutput(
                name="maps",
                shape=("batch", setting.kernels, "height", "width"),
                meaning="logits of the kernels, the whole text first, the smallest kernel last; a pixel belongs to a"
                " kernel above 0. Instances grow from the smallest (fuxian.papers.psenet.detect.detect); the sigmoid"
                " of the first map is the text's score",
            ),
        ),
        examples=(pictures,),
        expected=(maps,),
        about={"min_area": setting.min_area, "min_score": setting.min_score},
    )
