"""Sparse R-CNN (paper, sections 3.1 to 3.3): learned proposals, a dynamic head for each of six stages.

Layers have the official code's names, so that its checkpoints load by name.

Shape legend: N pictures, P proposals, C classes, D hidden features, S stages, H and W the picture's height and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.vision.ops import roi_align

from fuxian.papers.sparse_rcnn import boxes
from fuxian.papers.sparse_rcnn.backbone import FPN, STRIDES, Depth, Norm, ResNet

PRIOR = 0.01
"""The score of every class that an untrained network gives to every proposal."""
POOLED = 7
"""Cells of a region of interest in each direction; four samples are taken in each."""
CANONICAL = 224
"""Side of the box, in pixels, that is pooled from p4."""


@dataclass(frozen=True)
class Network:
    """What the network is; the defaults are ``sparsercnn.res50.100pro.3x`` of the official code."""

    classes: int = 80
    depth: Depth = 50
    width: int = 64
    norm: Norm = "frozen"
    frozen: int = 2
    """How many of the ResNet's parts are not trained."""
    proposals: int = 100
    hidden: int = 256
    stages: int = 6
    attention_heads: int = 8
    feedforward: int = 2048
    dynamic: int = 64
    """Features between the two dynamic layers."""
    class_layers: int = 1
    box_layers: int = 3


def level_of(boxes_NP4: Tensor) -> Tensor:
    """The pyramid's map, 0 for p2 to 3 for p5, int32 [N, P], that each box is pooled from.

    floor(4 + log2(sqrt(area) / 224 + 1e-8)) within p2 and p5 (Lin et al. 2017, equation 1, as detectron2 has it),
    written as a count of thresholds that are reached, so that a box that is not finite has a level too.
    """
    sides = paddle.sqrt(boxes.area(boxes_NP4))
    level = 4 + paddle.log2(sides / CANONICAL + 1e-8)
    above = [(level >= least).astype("int32") for least in (3, 4, 5)]
    return above[0] + above[1] + above[2]


def pool(maps: list[Tensor], boxes_NP4: Tensor, *, trained: bool = False) -> Tensor:
    """Features [N P, D, 7, 7] of the boxes, each from the map of its level (RoIAlign, He et al. 2017).

    ``trained``: gradients are wanted. On the CPU Paddle's RoIAlign has a wrong one for boxes that are narrower or lower
    than a cell of the map (its backward pass, not its forward one, widens them to a cell): those are sampled here.
    """
    finite = paddle.where(paddle.isfinite(boxes_NP4), boxes_NP4, paddle.zeros_like(boxes_NP4))
    flat_R4, level = finite.reshape([-1, 4]), level_of(finite)
    sides_NP = (finite[..., 2:] - finite[..., :2]).min(-1)
    pooled, places = [], []
    for number, stride in enumerate(STRIDES):
        here = level == number
        if trained:
            thin = here & (sides_NP < stride)
            here = here & (sides_NP >= stride)
            if bool(thin.any()):
                rows = np.flatnonzero(thin.numpy())
                pictures, chosen = rows // boxes_NP4.shape[1], flat_R4.numpy()[rows]
                pooled.append(sampled(maps[number], chosen / stride - 0.5, pictures))
                places.append(paddle.to_tensor(rows))
        place = paddle.nonzero(here.flatten()).flatten()
        of_picture = here.astype("int32").sum(1).astype("int32")
        chosen = paddle.index_select(flat_R4, place)
        pooled.append(
            roi_align(maps[number], chosen, of_picture, POOLED, 1 / stride, sampling_ratio=2, aligned=True)
        )
        places.append(place)
    return paddle.index_select(paddle.concat(pooled), paddle.argsort(paddle.concat(places)))


def sampled(map_NDHW: Tensor, boxes_R4: np.ndarray, pictures_R: np.ndarray) -> Tensor:
    """RoIAlign written out: features [R, D, 7, 7] of boxes in cells of the map, of the pictures ``pictures_R``.

    Each cell is the mean of 2 x 2 bilinear samples; those that lie more than a cell outside the map are 0.
    """
    height, width = map_NDHW.shape[2:]
    count = 2 * POOLED
    steps = (np.arange(count) + 0.5) / count

    def corners(low_R: np.ndarray, high_R: np.ndarray, side: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The two cells on either side of each sample, [R, 14], with their weights."""
        at = low_R[:, None] + steps * (high_R - low_R)[:, None]
        inside = (at >= -1) & (at <= side)
        at = np.clip(at, 0, side - 1)
        first = np.floor(at)
        return [
            (first.astype(np.int64), (1 - at + first) * inside),
            (np.minimum(first + 1, side - 1).astype(np.int64), (at - first) * inside),
        ]

    row_of = pictures_R[:, None, None] * height
    indices, weights = [], []
    for y, of_y in corners(boxes_R4[:, 1], boxes_R4[:, 3], height):
        for x, of_x in corners(boxes_R4[:, 0], boxes_R4[:, 2], width):
            indices.append((row_of + y[:, :, None]) * width + x[:, None, :])
            weights.append(of_y[:, :, None] * of_x[:, None, :])
    cells_AD = map_NDHW.transpose([0, 2, 3, 1]).reshape([-1, map_NDHW.shape[1]])
    found = paddle.index_select(cells_AD, paddle.to_tensor(np.stack(indices).reshape(-1)))
    weight = paddle.to_tensor(np.stack(weights).reshape(-1, 1)).astype(found.dtype)
    samples = (found * weight).reshape([4, -1, POOLED, 2, POOLED, 2, map_NDHW.shape[1]])
    return samples.sum([0, 3, 5]).transpose([0, 3, 1, 2]) / 4


def linear(inputs: int, outputs: int, *, bias: bool = True, fans: int = 1) -> nn.Linear:
    """A linear layer as the official code draws it: Xavier-uniform weights, PyTorch's own biases.

    ``fans``: how many layers of this size stand in one matrix there, which narrows the draw.
    """
    bound, small = math.sqrt(6 / (inputs + fans * outputs)), 1 / math.sqrt(inputs)
    return nn.Linear(
        inputs,
        outputs,
        weight_attr=nn.initializer.Uniform(-bound, bound),
        bias_attr=nn.initializer.Uniform(-small, small) if bias else False,
    )


class DynamicConv(nn.Layer):
    """The dynamic instance interaction (section 3.2, figure 4): a proposal's own two 1 x 1 layers filter its region."""

    def __init__(self, network: Network):
        super().__init__()
        hidden, dynamic = network.hidden, network.dynamic
        self.shapes = ((hidden, dynamic), (dynamic, hidden))
        self.dynamic_layer = linear(hidden, 2 * hidden * dynamic)
        self.norm1 = nn.LayerNorm(dynamic)
        self.norm2 = nn.LayerNorm(hidden)
        self.out_layer = linear(hidden * POOLED**2, hidden)
        self.norm3 = nn.LayerNorm(hidden)

    def forward(self, proposals_RD: Tensor, regions_RAD: Tensor) -> Tensor:
        """Features [R, D] of R proposals with the A = 49 cells of their regions."""
        first, second = paddle.split(self.dynamic_layer(proposals_RD), 2, axis=-1)
        x = paddle.bmm(regions_RAD, first.reshape([-1, *self.shapes[0]]))
        x = F.relu(self.norm1(x))
        x = F.relu(self.norm2(paddle.bmm(x, second.reshape([-1, *self.shapes[1]]))))
        return F.relu(self.norm3(self.out_layer(x.flatten(1))))


def tower(hidden: int, layers: int) -> nn.Sequential:
    """Linear layers without bias, each normalised and rectified."""
    parts = [(linear(hidden, hidden, bias=False), nn.LayerNorm(hidden), nn.ReLU()) for _ in range(layers)]
    return nn.Sequential(*(layer for part in parts for layer in part))


class RCNNHead(nn.Layer):
    """One stage (section 3.2): proposals look at one another, then each at its region; then classes and a new box."""

    def __init__(self, network: Network):
        super().__init__()
        hidden = network.hidden
        self.self_attn = nn.MultiHeadAttention(hidden, network.attention_heads)
        self.inst_interact = DynamicConv(network)
        self.linear1 = linear(hidden, network.feedforward)
        self.linear2 = linear(network.feedforward, hidden)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(hidden) for _ in range(3))
        self.cls_module = tower(hidden, network.class_layers)
        self.reg_module = tower(hidden, network.box_layers)
        self.class_logits = linear(hidden, network.classes)
        self.bboxes_delta = linear(hidden, 4)
        attention = self.self_attn
        for projection, fans in (
            (attention.q_proj, 3),
            (attention.k_proj, 3),
            (attention.v_proj, 3),
            (attention.out_proj, 1),
        ):
            bound = math.sqrt(6 / (hidden + fans * hidden))
            nn.initializer.Uniform(-bound, bound)(projection.weight)
            nn.initializer.Constant(0.0)(projection.bias)
        nn.initializer.Constant(math.log(PRIOR / (1 - PRIOR)))(self.class_logits.bias)

    def forward(
        self, maps: list[Tensor], boxes_NP4: Tensor, proposals_NPD: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [N, P, C], the new boxes [N, P, 4] and the proposals' new features [N, P, D]."""
        count, hidden = boxes_NP4.shape[1], proposals_NPD.shape[-1]
        x = self.norm1(proposals_NPD + self.self_attn(proposals_NPD, proposals_NPD, proposals_NPD))
        x = x.reshape([-1, hidden])
        regions = pool(maps, boxes_NP4.detach(), trained=self.training).flatten(2).transpose([0, 2, 1])
        x = self.norm2(x + self.inst_interact(x, regions))
        x = self.norm3(x + self.linear2(F.relu(self.linear1(x))))
        logits, deltas = self.class_logits(self.cls_module(x)), self.bboxes_delta(self.reg_module(x))
        in_pictures = [-1, count]
        return (
            logits.reshape([*in_pictures, logits.shape[-1]]),
            boxes.moved(boxes_NP4, deltas.reshape([*in_pictures, 4])),
            x.reshape([*in_pictures, hidden]),
        )


class DynamicHead(nn.Layer):
    """The stages, one after the other; each begins at the boxes of the last, which pass no gradient on."""

    def __init__(self, network: Network):
        super().__init__()
        self.head_series = nn.LayerList([RCNNHead(network) for _ in range(network.stages)])
        self._same_biases()

    def _same_biases(self) -> None:
        """The official code copies one stage and draws its matrices anew: at first all stages have its biases."""
        first = dict(self.head_series[0].named_parameters())
        for stage in self.head_series[1:]:
            for name, parameter in stage.named_parameters():
                if parameter.ndim == 1:
                    parameter.set_value(first[name])

    def forward(self, maps: list[Tensor], boxes_NP4: Tensor, proposals_NPD: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [S, N, P, C] and boxes [S, N, P, 4]."""
        logits, found = [], []
        for stage in self.head_series:
            of_stage, boxes_NP4, proposals_NPD = stage(maps, boxes_NP4, proposals_NPD)
            logits.append(of_stage)
            found.append(boxes_NP4)
            boxes_NP4 = boxes_NP4.detach()
        return paddle.stack(logits), paddle.stack(found)


class SparseRCNN(nn.Layer):
    """Logits [S, N, P, C] and boxes [S, N, P, 4], in pixels, of every stage.

    ``pictures`` [N, 3, H, W] are RGB less the mean by the deviation (``data.MEAN``), padded with zeros below and on the
    right to a multiple of 32; ``sizes`` [N, 2] are heights and widths without the padding.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.backbone = FPN(
            ResNet(network.depth, network.width, network.norm, network.frozen), network.hidden
        )
        standard = nn.initializer.Normal(0.0, 1.0)
        self.init_proposal_features = nn.Embedding(network.proposals, network.hidden, weight_attr=standard)
        # Every proposal begins as the whole picture (centre and size, in parts of it).
        whole = np.tile(np.array([0.5, 0.5, 1.0, 1.0]), (network.proposals, 1))
        self.init_proposal_boxes = nn.Embedding(
            network.proposals, 4, weight_attr=nn.initializer.Assign(whole.astype(paddle.get_default_dtype()))
        )
        self.head = DynamicHead(network)

    def forward(self, pictures: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.backbone(pictures)
        heights_widths = sizes.astype(pictures.dtype)
        scale_N14 = paddle.concat([heights_widths.flip(1), heights_widths.flip(1)], axis=1).unsqueeze(1)
        first_NP4 = boxes.corners(self.init_proposal_boxes.weight).unsqueeze(0) * scale_N14
        features_1PD = self.init_proposal_features.weight.unsqueeze(0)
        features_NPD = features_1PD + paddle.zeros_like(first_NP4[..., :1])
        return self.head(maps, first_NP4, features_NPD)
