"""Sparse R-CNN in PyTorch, part for part as the official code computes it and with its layers' names, in any width.

The official classes need detectron2 and torchvision; this one needs PyTorch alone. It is equal to them on the recorded
case (tests/papers/sparse_rcnn), through the port that both are compared with, and is what the scaled run's reference
trains.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

from fuxian.papers.sparse_rcnn.model import Network

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class FrozenBatchNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1 - 1e-5)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=1e-5)


class NormedConv(nn.Conv2d):
    def __init__(self, inputs, outputs, size, stride, norm):
        super().__init__(inputs, outputs, size, stride, size // 2, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = FrozenBatchNorm(outputs) if norm == "frozen" else nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.norm(super().forward(x))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, norm, bottleneck):
        super().__init__()
        inner = outputs // 4
        if bottleneck:
            self.conv1 = NormedConv(inputs, inner, 1, 1, norm)
            self.conv2 = NormedConv(inner, inner, 3, stride, norm)
            self.conv3 = NormedConv(inner, outputs, 1, 1, norm)
        else:
            self.conv1 = NormedConv(inputs, outputs, 3, stride, norm)
            self.conv2 = NormedConv(outputs, outputs, 3, 1, norm)
            self.conv3 = None  # type: ignore[assignment]
        self.shortcut = NormedConv(inputs, outputs, 1, stride, norm) if inputs != outputs else None

    def forward(self, x):
        out = self.conv2(self.conv1(x).relu())
        if self.conv3 is not None:
            out = self.conv3(out.relu())
        return (out + (x if self.shortcut is None else self.shortcut(x))).relu()


class Stem(nn.Module):
    def __init__(self, outputs, norm):
        super().__init__()
        self.conv1 = NormedConv(3, outputs, 7, 2, norm)

    def forward(self, x):
        return F.max_pool2d(self.conv1(x).relu(), 3, 2, 1)


class ResNet(nn.Module):
    def __init__(self, network: Network):
        super().__init__()
        bottleneck, norm = network.depth >= 50, network.norm
        self.stem = Stem(network.width, norm)
        inputs, self.channels = network.width, []
        for number, blocks in enumerate(BLOCKS[network.depth]):
            outputs = network.width * 2**number * (4 if bottleneck else 1)
            layers = []
            for place in range(blocks):
                layers.append(Block(inputs, outputs, 2 if number and not place else 1, norm, bottleneck))
                inputs = outputs
            setattr(self, f"res{number + 2}", nn.Sequential(*layers))
            self.channels.append(outputs)
        for part in list(self.children())[: network.frozen]:
            part.requires_grad_(False)

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for number in range(2, 6):
            x = getattr(self, f"res{number}")(x)
            maps.append(x)
        return maps


class FPN(nn.Module):
    def __init__(self, bottom_up, outputs):
        super().__init__()
        for number, inputs in enumerate(bottom_up.channels, start=2):
            for kind, channels, size in (("lateral", inputs, 1), ("output", outputs, 3)):
                conv = nn.Conv2d(channels, outputs, size, padding=size // 2)
                nn.init.kaiming_uniform_(conv.weight, a=1)
                nn.init.zeros_(conv.bias)
                setattr(self, f"fpn_{kind}{number}", conv)
        self.bottom_up = bottom_up

    def forward(self, pictures):
        x, made = None, []
        for number, one in reversed(list(enumerate(self.bottom_up(pictures), start=2))):
            lateral = getattr(self, f"fpn_lateral{number}")(one)
            x = lateral if x is None else lateral + F.interpolate(x, scale_factor=2.0, mode="nearest")
            made.append(getattr(self, f"fpn_output{number}")(x))
        return made[::-1]


def roi_align(map_NCHW, boxes_NP4, stride):
    """[N, P, C, 7, 7]: 2 x 2 bilinear samples in each cell, pixel centres at halves, 0 from a pixel outside on."""
    count, _, height, width = map_NCHW.shape
    proposals = boxes_NP4.shape[1]
    place = (torch.arange(14, dtype=map_NCHW.dtype) + 0.5) / 14
    low, high = boxes_NP4[..., :2] / stride - 0.5, boxes_NP4[..., 2:] / stride - 0.5
    x = low[..., 0:1] + place * (high - low)[..., 0:1]
    y = low[..., 1:2] + place * (high - low)[..., 1:2]
    inside = ((y >= -1) & (y <= height))[..., :, None] & ((x >= -1) & (x <= width))[..., None, :]

    def share(at, side):
        return at.clamp(0, side - 1) / max(side - 1, 1) * 2 - 1

    grid = torch.stack(
        torch.broadcast_tensors(share(x, width)[..., None, :], share(y, height)[..., :, None]), -1
    )
    samples = F.grid_sample(
        map_NCHW,
        grid.reshape(count, proposals * 14, 14, 2),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
    samples = samples.reshape(count, -1, proposals, 14, 14) * inside[:, None]
    return F.avg_pool2d(samples.flatten(0, 2)[:, None], 2).reshape(count, -1, proposals, 7, 7).transpose(1, 2)


def pool(maps, boxes_NP4):
    sides = ((boxes_NP4[..., 2] - boxes_NP4[..., 0]) * (boxes_NP4[..., 3] - boxes_NP4[..., 1])).sqrt()
    level = torch.floor(4 + torch.log2(sides / 224 + 1e-8)).clamp(2, 5)
    pooled: Any = 0
    for number, one in enumerate(maps, start=2):
        here = level == number
        # A level without boxes has a gradient of 0, not none: its layers decay, as with the compiled RoIAlign.
        pooled = pooled + (
            roi_align(one, boxes_NP4, 2**number) * here[..., None, None, None]
            if here.any()
            else 0 * one.sum()
        )
    return pooled.flatten(0, 1)


class DynamicConv(nn.Module):
    def __init__(self, network: Network):
        super().__init__()
        self.hidden, self.dynamic = network.hidden, network.dynamic
        self.dynamic_layer = nn.Linear(self.hidden, 2 * self.hidden * self.dynamic)
        self.norm1, self.norm2 = nn.LayerNorm(self.dynamic), nn.LayerNorm(self.hidden)
        self.out_layer = nn.Linear(self.hidden * 49, self.hidden)
        self.norm3 = nn.LayerNorm(self.hidden)

    def forward(self, proposals, regions):
        first, second = self.dynamic_layer(proposals).chunk(2, -1)
        x = self.norm1(torch.bmm(regions, first.reshape(-1, self.hidden, self.dynamic))).relu()
        x = self.norm2(torch.bmm(x, second.reshape(-1, self.dynamic, self.hidden))).relu()
        return self.norm3(self.out_layer(x.flatten(1))).relu()


def tower(hidden, layers):
    made = []
    for _ in range(layers):
        made += [nn.Linear(hidden, hidden, bias=False), nn.LayerNorm(hidden), nn.ReLU()]
    return nn.Sequential(*made)


class RCNNHead(nn.Module):
    def __init__(self, network: Network):
        super().__init__()
        hidden = network.hidden
        self.self_attn = nn.MultiheadAttention(hidden, network.attention_heads, batch_first=True)
        self.inst_interact = DynamicConv(network)
        self.linear1 = nn.Linear(hidden, network.feedforward)
        self.linear2 = nn.Linear(network.feedforward, hidden)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(hidden) for _ in range(3))
        self.cls_module = tower(hidden, network.class_layers)
        self.reg_module = tower(hidden, network.box_layers)
        self.class_logits = nn.Linear(hidden, network.classes)
        self.bboxes_delta = nn.Linear(hidden, 4)

    def forward(self, maps, boxes, features):
        x = self.norm1(features + self.self_attn(features, features, features, need_weights=False)[0])
        regions = pool(maps, boxes.detach()).flatten(2).transpose(1, 2)
        x = self.norm2(x + self.inst_interact(x.flatten(0, 1), regions).reshape(x.shape))
        x = self.norm3(x + self.linear2(self.linear1(x).relu()))
        return (
            self.class_logits(self.cls_module(x)),
            moved(boxes, self.bboxes_delta(self.reg_module(x))),
            x,
        )


def moved(boxes, deltas):
    size = boxes[..., 2:] - boxes[..., :2]
    middle = boxes[..., :2] + 0.5 * size + deltas[..., :2] / 2 * size
    size = size * deltas[..., 2:].clamp(max=math.log(100000 / 16)).exp()
    return torch.cat([middle - 0.5 * size, middle + 0.5 * size], -1)


class DynamicHead(nn.Module):
    def __init__(self, network: Network):
        super().__init__()
        self.head_series = nn.ModuleList([RCNNHead(network) for _ in range(network.stages)])
        for stage in self.head_series:
            for parameter, first in zip(stage.parameters(), self.head_series[0].parameters(), strict=True):
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
                else:
                    parameter.data.copy_(first.data)
            nn.init.constant_(stage.class_logits.bias, -math.log(99))

    def forward(self, maps, boxes, features):
        logits, found = [], []
        for stage in self.head_series:
            of_stage, boxes, features = stage(maps, boxes, features)
            logits.append(of_stage)
            found.append(boxes)
            boxes = boxes.detach()
        return torch.stack(logits), torch.stack(found)


class SparseRCNN(nn.Module):
    """Logits [S, N, P, C] and boxes [S, N, P, 4] of pictures and their sizes, as the port."""

    def __init__(self, network: Network):
        super().__init__()
        self.backbone = FPN(ResNet(network), network.hidden)
        self.init_proposal_features = nn.Embedding(network.proposals, network.hidden)
        self.init_proposal_boxes = nn.Embedding(network.proposals, 4)
        nn.init.constant_(self.init_proposal_boxes.weight[:, :2], 0.5)
        nn.init.constant_(self.init_proposal_boxes.weight[:, 2:], 1.0)
        self.head = DynamicHead(network)

    def forward(self, pictures, sizes):
        maps = self.backbone(pictures)
        first = self.init_proposal_boxes.weight
        corners = torch.cat([first[:, :2] - 0.5 * first[:, 2:], first[:, :2] + 0.5 * first[:, 2:]], -1)
        boxes = corners[None] * sizes.to(pictures.dtype)[:, None, [1, 0, 1, 0]]
        features = self.init_proposal_features.weight[None].expand(len(pictures), -1, -1)
        return self.head(maps, boxes, features)


def loss(outputs, targets):
    """``total`` and each stage's weighted parts, as the port's."""
    all_logits, all_boxes = outputs
    true, classes, sizes = targets
    objects = [one[kind >= 0].to(all_boxes.dtype) for one, kind in zip(true, classes, strict=True)]
    kinds = [kind[kind >= 0] for kind in classes]
    count = max(sum(map(len, kinds)), 1)
    made = {}
    for stage, (logits, boxes) in enumerate(zip(all_logits, all_boxes, strict=True), start=1):
        wanted, l1, apart = torch.zeros_like(logits), 0 * boxes.sum(), 0 * boxes.sum()
        for picture, (one, kind) in enumerate(zip(objects, kinds, strict=True)):
            scale = sizes[picture][[1, 0, 1, 0]].to(boxes.dtype)
            with torch.no_grad():
                rows, columns = matched(logits[picture], boxes[picture], one, kind, scale)
            wanted[picture, rows, kind[columns]] = 1
            found, true_one = boxes[picture][rows], one[columns]
            l1 = l1 + ((found - true_one) / scale).abs().sum()
            apart = apart + (1 - torch.diagonal(giou(found, true_one))).sum()
        made[f"class_{stage}"] = 2 * focal(logits, wanted).sum() / count
        made[f"l1_{stage}"] = 5 * l1 / count
        made[f"giou_{stage}"] = 2 * apart / count
    return {"total": sum(made.values()), **made}


def focal(logits, wanted):
    score = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = score * wanted + (1 - score) * (1 - wanted)
    return (0.25 * wanted + 0.75 * (1 - wanted)) * entropy * (1 - right) ** 2


def giou(a, b):
    """[A, B] of boxes [A, 4] and [B, 4]."""

    def area(box):
        return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])

    shared = (torch.min(a[:, None, 2:], b[:, 2:]) - torch.max(a[:, None, :2], b[:, :2])).clamp(min=0).prod(-1)
    union = area(a)[:, None] + area(b) - shared
    hull = (torch.max(a[:, None, 2:], b[:, 2:]) - torch.min(a[:, None, :2], b[:, :2])).prod(-1)
    return shared / union - (hull - union) / hull


def matched(logits, boxes, true, kinds, scale):
    score = logits.sigmoid()[:, kinds]
    there = 0.25 * (1 - score) ** 2 * -(score + 1e-8).log()
    not_there = 0.75 * score**2 * -(1 - score + 1e-8).log()
    l1 = torch.cdist(boxes / scale, true / scale, p=1)
    cost = 2 * (there - not_there) + 5 * l1 - 2 * giou(boxes, true)
    return tuple(torch.as_tensor(part) for part in linear_sum_assignment(cost.numpy()))
