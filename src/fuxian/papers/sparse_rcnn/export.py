"""Sparse R-CNN's network for Paddle Inference: pictures of any size in, scores and boxes of every proposal out."""

from __future__ import annotations

from pathlib import Path

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput
from fuxian.papers.sparse_rcnn.classes import CLASSES
from fuxian.papers.sparse_rcnn.data import DEVIATION, MEAN, evaluation_batch, generated
from fuxian.papers.sparse_rcnn.model import SparseRCNN
from fuxian.papers.sparse_rcnn.settings import SETTINGS
from fuxian.training.checkpoints import load_into


class Detector(nn.Layer):
    """Scores [N, P, C] and boxes [N, P, 4] of the last stage."""

    def __init__(self, model: SparseRCNN):
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.model(pictures, sizes)
        return F.sigmoid(logits[-1]), boxes[-1]


def export(claim: str, weights: Path) -> ExportedNetwork:
    """The claim's network with its weights; choosing the best of the scores stays with ``detect.py``."""
    setting = SETTINGS[claim]
    model = SparseRCNN(setting.network)
    load_into(model, weights)
    network = Detector(model)
    network.eval()
    pictures = generated(0, 3)
    batch = evaluation_batch(
        [pictures.picture(row) for row in (1, 3)], [pictures.images[row] for row in (1, 3)], setting
    )
    examples = batch["inputs"]
    with paddle.no_grad():
        scores, boxes = network(*map(paddle.to_tensor, examples))
    mean, deviation = ([round(float(value), 3) for value in values] for values in (MEAN, DEVIATION))
    count = setting.network.proposals
    return ExportedNetwork(
        network=network,
        inputs=(
            ExportedInput(
                name="pictures",
                dtype="float32",
                shape=("batch", 3, "height", "width"),
                preprocessing=f"RGB from 0 to 255; the short side scaled to {setting.test_side} pixels, the long one to"
                f" {setting.longest} at most, bilinear with antialiasing; mean {mean} subtracted, divided by"
                f" {deviation}; padded with zeros below and on the right to multiples of 32",
            ),
            ExportedInput(
                name="sizes",
                dtype="float32",
                shape=("batch", 2),
                preprocessing="height and width of each picture as scaled, without the padding",
            ),
        ),
        outputs=(
            ExportedOutput(
                name="scores",
                shape=("batch", count, setting.network.classes),
                meaning=f"from 0 to 1, each class by itself; the {count} highest of a picture are its detections, and"
                " nothing is suppressed",
                labels=tuple(kind.name for kind in CLASSES[setting.data]),
            ),
            ExportedOutput(
                name="boxes",
                shape=("batch", count, 4),
                meaning="x1, y1, x2, y2 of each proposal in pixels of the scaled picture, not cut off at its edges",
            ),
        ),
        examples=examples,
        expected=(scores.numpy(), boxes.numpy()),
        about={"category_ids": [kind.id for kind in CLASSES[setting.data]]},
        onnx_one_at_a_time="paddle2onnx takes every region of roi_align from the first picture",
    )
