"""RetinaNet with one refinement: pyramid, anchors, shared head, focal loss, smooth L1, box decoding."""

from __future__ import annotations

import math

import numpy as np
import paddle
import torch
from paddle.nn import functional

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import conv

SIZE, KINDS, RATIOS, STRIDES = 16, 3, (0.5, 1.0, 2.0), (4, 8)
LARGEST = math.log(1000 / 16)


def anchors(ratios=RATIOS, centre=0.5, by_ratio_first=False):
    """Anchor boxes (x1, y1, x2, y2) in pixels: level by level, row by row, ratio fastest; [60, 4]."""
    boxes = []
    for stride in STRIDES:
        cells = range(SIZE // stride)
        places = [(y, x, r) for y in cells for x in cells for r in ratios]
        if by_ratio_first:
            places = [(y, x, r) for r in ratios for y in cells for x in cells]
        for y, x, ratio in places:
            width, height = stride * 1.5 / math.sqrt(ratio), stride * 1.5 * math.sqrt(ratio)
            middle = (x + centre) * stride, (y + centre) * stride
            boxes.append(
                (middle[0] - width / 2, middle[1] - height / 2, middle[0] + width / 2, middle[1] + height / 2)
            )
    return np.array(boxes)


def overlap(boxes, box, extra=0.0):
    """IoU of each of boxes with box; ``extra`` = 1 for the old convention where a pixel has width one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    both = np.clip(high - low + extra, 0, None).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2] + extra).prod(1)
    return both / (area + np.prod(box[2:] - box[:2] + extra) - both)


def encode(box, at, weights=(10.0, 10.0, 5.0, 5.0)):
    """The regression target of Faster R-CNN: offsets of the centre and logs of the sizes, weighted."""
    size, anchor = box[2:] - box[:2], at[:, 2:] - at[:, :2]
    shift = ((box[:2] + box[2:]) - (at[:, :2] + at[:, 2:])) / 2 / anchor
    return np.concatenate([shift, np.log(size / anchor)], 1) * np.asarray(weights)


def pictures(*, seed, count=5, batch=2, weights=(10.0, 10.0, 5.0, 5.0), threshold=0.4):
    """Pictures with one box each; targets: each anchor's label (-1: background), encoded box, the box."""
    rng = np.random.default_rng(seed)
    at = anchors()
    rows = []
    for _ in range(count):
        corner, size = rng.uniform(0, 8, 2), rng.uniform(4, 8, 2)
        box = np.concatenate([corner, corner + size])
        kind = rng.integers(0, KINDS)
        share = overlap(at, box)
        positive = (share > threshold) | (share == share.max())
        image = rng.normal(size=(3, SIZE, SIZE))
        rows.append((image, np.where(positive, kind, -1), encode(box, at, weights), box))
    for start in range(0, count, batch):
        image, label, offset, box = (np.stack(c) for c in zip(*rows[start : start + batch], strict=True))
        yield {
            "inputs": (image.astype("float32"),),
            "targets": (label.astype("int64"), offset.astype("float32"), box.astype("float32")),
        }


class Recall:
    """Share of the boxes whose best-scored prediction overlaps by more than a half."""

    def __init__(self, extra=0.0, threshold=0.2):
        self.extra, self.threshold, self.hits, self.overlaps = extra, threshold, [], []

    def update(self, outputs, targets):
        for scores, boxes, box in zip(outputs["scores"], outputs["boxes"], targets[2], strict=True):
            best = scores.max(-1).argmax()
            share = float(overlap(boxes[best : best + 1], box, self.extra)[0])
            self.overlaps.append(share)
            self.hits.append(float(share > self.threshold))

    def figures(self, selection=None):
        return {"recall": float(np.mean(self.hits)), "mean_iou": float(np.mean(self.overlaps))}

    def examples(self):
        return {"recall": self.hits, "mean_iou": self.overlaps}


class TorchHead(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.scores = torch.nn.Conv2d(16, len(RATIOS) * KINDS, 3, padding=1)
        self.boxes = torch.nn.Conv2d(16, len(RATIOS) * 4, 3, padding=1)
        torch.nn.init.constant_(self.scores.bias, -math.log((1 - 0.01) / 0.01))

    def forward(self, x):
        batch = x.shape[0]
        x = torch.relu(self.tower(x))
        scores = self.scores(x).permute(0, 2, 3, 1).reshape(batch, -1, KINDS)
        boxes = self.boxes(x).permute(0, 2, 3, 1).reshape(batch, -1, 4)
        return scores, boxes


class TorchDetector(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.c3 = torch.nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.c4 = torch.nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.lateral3, self.lateral4 = torch.nn.Conv2d(16, 16, 1), torch.nn.Conv2d(24, 16, 1)
        self.head = TorchHead()
        self.refine = torch.nn.Linear(KINDS + 4, 4)
        self.level_scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("anchors", torch.tensor(anchors()).to(torch.get_default_dtype()))

    def forward(self, x):
        c3 = torch.relu(self.c3(torch.relu(self.stem(x))))
        c4 = torch.relu(self.c4(c3))
        p4 = self.lateral4(c4)
        p3 = self.lateral3(c3) + torch.nn.functional.interpolate(p4, scale_factor=2, mode="nearest")
        levels = [self.head(p3), self.head(p4)]
        scores = torch.cat([s for s, _ in levels], 1)
        coarse = torch.cat([b * self.level_scale[i] for i, (_, b) in enumerate(levels)], 1)
        fine = coarse.detach() + self.refine(torch.cat([scores, coarse.detach()], -1))
        return {"scores": scores, "coarse": coarse, "fine": fine, "boxes": self.decode(fine)}

    def decode(self, offsets):
        weights = torch.tensor([10.0, 10.0, 5.0, 5.0], dtype=offsets.dtype)
        shift = offsets / weights
        size = self.anchors[:, 2:] - self.anchors[:, :2]
        centre = (self.anchors[:, :2] + self.anchors[:, 2:]) / 2 + shift[..., :2] * size
        size = size * torch.exp(shift[..., 2:].clamp(max=LARGEST))
        return torch.cat([centre - size / 2, centre + size / 2], -1).clamp(0, SIZE)


def reference() -> Recipe:
    def loss(outputs, targets):
        labels, offsets = targets[0], targets[1]
        positive = (labels >= 0)[..., None]
        kinds = torch.nn.functional.one_hot(labels.clamp(min=0), KINDS) * positive
        kinds = kinds.to(outputs["scores"].dtype)
        p = torch.sigmoid(outputs["scores"])
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            outputs["scores"], kinds, reduction="none"
        )
        right = p * kinds + (1 - p) * (1 - kinds)
        alpha = 0.25 * kinds + 0.75 * (1 - kinds)
        count = positive.sum().clamp(min=1)
        focal = (alpha * (1 - right) ** 2 * entropy).sum() / count
        box = sum(
            (
                torch.nn.functional.smooth_l1_loss(outputs[k], offsets, beta=0.5, reduction="none") * positive
            ).sum()
            for k in ("coarse", "fine")
        )
        return {"total": focal + box / count, "focal": focal, "box": box / count}

    def optimizer(model):
        backbone = [p for n, p in model.named_parameters() if n.startswith(("stem", "c3", "c4"))]
        rest = [p for n, p in model.named_parameters() if not n.startswith(("stem", "c3", "c4"))]
        sgd = torch.optim.SGD([{"params": backbone, "lr": 1e-3}, {"params": rest}], lr=1e-2, momentum=0.9)
        return sgd, torch.optim.lr_scheduler.LambdaLR(sgd, warmup)

    return Recipe(
        model=TorchDetector,
        train_data=lambda: pictures(seed=1),
        eval_data=lambda: pictures(seed=2),
        loss=loss,
        optimizer=optimizer,
        metric=Recall,
    )


def warmup(step, first=0.1, steps=5):
    return min(1.0, first + (1 - first) * step / steps)


class Head(paddle.nn.Layer):
    """``flat`` turns a [N, anchors * k, H, W] map into [N, H * W * anchors, k]."""

    def __init__(self, flat=None, prior=0.01, relu=True):
        super().__init__()
        self.tower = conv(16, 16, 3, padding=1)
        self.scores = conv(16, len(RATIOS) * KINDS, 3, padding=1)
        self.boxes = conv(16, len(RATIOS) * 4, 3, padding=1)
        if prior:
            paddle.nn.initializer.Constant(-math.log((1 - prior) / prior))(self.scores.bias)
        self.flat, self.relu = flat or flatten_maps, relu

    def forward(self, x):
        x = self.tower(x)
        if self.relu:
            x = functional.relu(x)
        return self.flat(self.scores(x), KINDS), self.flat(self.boxes(x), 4)


def flatten_maps(x, per_anchor):
    return x.transpose([0, 2, 3, 1]).reshape([x.shape[0], -1, per_anchor])


def flatten_channels_first(x, per_anchor):
    """Reshapes the map as it lies in memory, channels first."""
    return x.reshape([x.shape[0], -1, per_anchor])


def flatten_anchor_major(x, per_anchor):
    """All places of the first anchor, then all of the second: [A, H, W] instead of [H, W, A]."""
    batch, channels, height, width = x.shape
    x = x.reshape([batch, channels // per_anchor, per_anchor, height, width]).transpose([0, 1, 3, 4, 2])
    return x.reshape([batch, -1, per_anchor])


class Detector(paddle.nn.Layer):
    def __init__(
        self,
        *,
        head=(),
        detach=True,
        top_down=True,
        upsample="nearest",
        anchor_boxes=anchors,
        decode_weights=(10.0, 10.0, 5.0, 5.0),
        scale_levels=True,
        clip=True,
    ):
        super().__init__()
        self.stem = conv(3, 8, 3, stride=2, padding=1)
        self.c3 = conv(8, 16, 3, stride=2, padding=1)
        self.c4 = conv(16, 24, 3, stride=2, padding=1)
        self.lateral3, self.lateral4 = conv(16, 16, 1), conv(24, 16, 1)
        self.head = Head(**dict(head))
        self.refine = paddle.nn.Linear(KINDS + 4, 4, weight_attr=refine_attr(), bias_attr=refine_attr())
        self.level_scale = self.create_parameter([2], default_initializer=paddle.nn.initializer.Constant(1.0))
        self.register_buffer("anchors", paddle.to_tensor(anchor_boxes(), dtype=paddle.get_default_dtype()))
        self.detach, self.top_down, self.upsample = detach, top_down, upsample
        self.decode_weights, self.scale_levels, self.clip = decode_weights, scale_levels, clip

    def forward(self, x):
        c3 = functional.relu(self.c3(functional.relu(self.stem(x))))
        c4 = functional.relu(self.c4(c3))
        p4 = self.lateral4(c4)
        p3 = self.lateral3(c3)
        if self.top_down:
            p3 = p3 + functional.interpolate(p4, scale_factor=2, mode=self.upsample)
        levels = [self.head(p3), self.head(p4)]
        scores = paddle.concat([s for s, _ in levels], 1)
        boxes = [b * self.level_scale[i] if self.scale_levels else b for i, (_, b) in enumerate(levels)]
        coarse = paddle.concat(boxes, 1)
        start = coarse.detach() if self.detach else coarse
        fine = start + self.refine(paddle.concat([scores, start], -1))
        return {"scores": scores, "coarse": coarse, "fine": fine, "boxes": self.decode(fine)}

    def decode(self, offsets):
        shift = offsets / paddle.to_tensor(self.decode_weights, dtype=offsets.dtype)
        size = self.anchors[:, 2:] - self.anchors[:, :2]
        centre = (self.anchors[:, :2] + self.anchors[:, 2:]) / 2 + shift[..., :2] * size
        size = size * paddle.exp(shift[..., 2:].clip(max=LARGEST))
        boxes = paddle.concat([centre - size / 2, centre + size / 2], -1)
        return boxes.clip(0, SIZE) if self.clip else boxes


class ReorderedDetector(Detector):
    """The same layers under the same names, defined from the head down to the stem."""

    def __init__(self):
        super().__init__()
        order = ["head", "refine", "lateral4", "lateral3", "c4", "c3", "stem"]
        layers = {name: self._sub_layers.pop(name) for name in order}
        self._sub_layers.update(layers)


def refine_attr():
    bound = (KINDS + 4) ** -0.5
    return paddle.ParamAttr(initializer=paddle.nn.initializer.Uniform(-bound, bound))


def smooth_l1(found, wanted, beta=0.5):
    return functional.smooth_l1_loss(found, wanted, reduction="none", delta=beta, is_huber=False)


def huber(found, wanted, beta=0.5):
    """Paddle's default: delta times torch's smooth L1."""
    return functional.smooth_l1_loss(found, wanted, reduction="none", delta=beta)


def focal_by_log_sigmoid(scores, kinds, alpha=0.25):
    """The focal loss without an explicit probability: exp(2 log sigmoid(-z)) for the modulating factor."""
    z = scores * (2 * kinds - 1)
    balance = alpha * kinds + (1 - alpha) * (1 - kinds)
    return -balance * paddle.exp(2 * functional.log_sigmoid(-z)) * functional.log_sigmoid(z)


def port(
    *,
    net=Detector,
    focal_form=None,
    alpha=0.25,
    gamma=2.0,
    softmax=False,
    box_loss=smooth_l1,
    per_anchor=False,
    warm=warmup,
    backbone_rate=0.1,
    data=(),
    metric=Recall,
    **layers,
) -> Recipe:
    def loss(outputs, targets):
        labels, offsets = targets[0], targets[1]
        positive = (labels >= 0).unsqueeze(-1).astype(outputs["scores"].dtype)
        kinds = functional.one_hot(labels.clip(min=0), KINDS).astype(positive.dtype) * positive
        scores = outputs["scores"]
        if softmax:
            p = functional.softmax(scores, -1)
            entropy = -kinds * paddle.log(p) - (1 - kinds) * paddle.log(1 - p)
        else:
            p = functional.sigmoid(scores)
            entropy = functional.binary_cross_entropy_with_logits(scores, kinds, reduction="none")
        right = p * kinds + (1 - p) * (1 - kinds)
        balance = alpha * kinds + (1 - alpha) * (1 - kinds)
        count = (labels >= 0).sum().clip(min=1).astype(positive.dtype)
        if per_anchor:
            count = paddle.to_tensor(float(labels.size), dtype=positive.dtype)
        each = focal_form(scores, kinds) if focal_form else balance * (1 - right) ** gamma * entropy
        focal = each.sum() / count
        box = sum((box_loss(outputs[k], offsets) * positive).sum() for k in ("coarse", "fine"))
        return {"total": focal + box / count, "focal": focal, "box": box / count}

    def optimizer(model):
        schedule = paddle.optimizer.lr.LambdaDecay(1e-2, warm)
        named = list(model.named_parameters())
        backbone = [p for n, p in named if n.startswith(("stem", "c3", "c4"))]
        rest = [p for n, p in named if not n.startswith(("stem", "c3", "c4"))]
        groups = [{"params": backbone, "learning_rate": backbone_rate}, {"params": rest}]
        return paddle.optimizer.Momentum(schedule, momentum=0.9, parameters=groups), schedule

    return Recipe(
        model=lambda: net(**layers),
        train_data=lambda: pictures(seed=1, **dict(data)),
        eval_data=lambda: pictures(seed=2, **dict(data)),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
    )
