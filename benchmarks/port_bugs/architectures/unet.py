"""U-Net for segmentation: group norm, PReLU, both kinds of upsampling, skip connections, BCE + Dice, IoU."""

from __future__ import annotations

import numpy as np
import paddle
import torch
from paddle.nn import functional

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import conv, uniform

IGNORED = 255
CLASSES = 3


def scans(*, seed, count=5, batch=2, size=16, ignored=IGNORED, zero_mean=True):
    """Grey pictures with a label map of three classes; the map's border is not labelled."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, batch):
        rows = min(batch, count - start)
        pictures = rng.random((rows, 1, size, size))
        labels = (pictures[:, 0] * CLASSES).astype("int64")
        labels[:, 0], labels[:, -1] = ignored, ignored
        labels[labels == 2] = np.where(rng.random((labels == 2).sum()) < 0.7, 0, 2)
        images = (pictures - 0.5) / 0.25 if zero_mean else pictures
        yield {"inputs": (images.astype("float32"),), "targets": (labels,)}


class IoU:
    """Mean over the classes of intersection over union, over all pictures; ignored pixels left out."""

    def __init__(self, foreground_only=False, mean_of_pictures=False):
        self.foreground_only, self.mean_of_pictures = foreground_only, mean_of_pictures
        self.pairs = []

    def update(self, outputs, targets):
        self.pairs += list(zip(outputs.argmax(1), targets[0], strict=True))

    def iou(self, pairs):
        figures = []
        for kind in range(1 if self.foreground_only else 0, CLASSES):
            both = either = 0
            for found, label in pairs:
                counted = label != IGNORED
                both += ((found == kind) & (label == kind) & counted).sum()
                either += (((found == kind) | (label == kind)) & counted).sum()
            figures.append(both / max(either, 1))
        return float(np.mean(figures))

    def figures(self, selection=None):
        return {
            "miou": float(np.mean(self.examples()["miou"])) if self.mean_of_pictures else self.iou(self.pairs)
        }

    def examples(self):
        return {"miou": [self.iou([pair]) for pair in self.pairs]}


class TorchDouble(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")
        self.norm1 = torch.nn.GroupNorm(4, outputs)
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = torch.nn.InstanceNorm2d(outputs, affine=True)
        self.act = torch.nn.PReLU(outputs)

    def forward(self, x):
        x = torch.nn.functional.leaky_relu(self.norm1(self.conv1(x)), 0.1)
        return self.act(self.norm2(self.conv2(x)))


class TorchUNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = TorchDouble(1, 8), TorchDouble(8, 16), TorchDouble(16, 16)
        self.up2 = torch.nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1, output_padding=1)
        self.merge2, self.merge1 = TorchDouble(32, 8), TorchDouble(16, 8)
        self.aux = torch.nn.Conv2d(16, CLASSES, 1)
        self.out = torch.nn.Conv2d(8, CLASSES, 1)

    def forward(self, x):
        skip1 = self.down1(x)
        skip2 = self.down2(torch.nn.functional.max_pool2d(skip1, 2))
        x = self.middle(torch.nn.functional.avg_pool2d(skip2, 2))
        x = self.merge2(torch.cat([skip2, self.up2(x)], dim=1))
        x = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return self.out(self.merge1(torch.cat([skip1, x], dim=1)))


def reference() -> Recipe:
    def loss(outputs, targets):
        labels = targets[0]
        weight = torch.tensor([1.0, 2.0, 4.0], dtype=outputs.dtype)
        entropy = torch.nn.functional.cross_entropy(outputs, labels, weight=weight, ignore_index=IGNORED)
        counted = (labels != IGNORED)[:, None]
        kinds = torch.stack([labels == kind for kind in range(CLASSES)], 1)
        share = torch.softmax(outputs, 1) * counted
        both = (share * kinds).sum((2, 3))
        dice = 1 - ((2 * both + 1) / (share.sum((2, 3)) + kinds.sum((2, 3)) + 1)).mean()
        return {"total": entropy + dice, "entropy": entropy, "dice": dice}

    def optimizer(model):
        adam = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
        return adam, torch.optim.lr_scheduler.PolynomialLR(adam, total_iters=10, power=0.9)

    return Recipe(
        model=TorchUNet,
        train_data=lambda: scans(seed=1),
        eval_data=lambda: scans(seed=2),
        loss=loss,
        optimizer=optimizer,
        metric=IoU,
    )


class Double(paddle.nn.Layer):
    def __init__(
        self, inputs, outputs, *, slope=0.1, groups=4, padding_mode="reflect", prelu_each=True, epsilon=1e-5
    ):
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, padding=1, padding_mode=padding_mode)
        self.norm1 = paddle.nn.GroupNorm(groups, outputs)
        self.conv2 = conv(outputs, outputs, 3, padding=1)
        self.norm2 = paddle.nn.InstanceNorm2D(outputs, epsilon=epsilon)
        self.act = paddle.nn.PReLU(outputs if prelu_each else 1)
        self.slope = slope

    def forward(self, x):
        x = functional.leaky_relu(self.norm1(self.conv1(x)), self.slope)
        return self.act(self.norm2(self.conv2(x)))


class ModuleDouble(Double):
    """As Double, with the first activation as a layer."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.leaky = paddle.nn.LeakyReLU(0.1)

    def forward(self, x):
        return self.act(self.norm2(self.conv2(self.leaky(self.norm1(self.conv1(x))))))


class ModuleUNet(paddle.nn.Layer):
    """The same net from layers only: pools and upsampling as layers, levels in lists, sizes for factors."""

    def __init__(self):
        super().__init__()
        self.encoder = paddle.nn.LayerList([ModuleDouble(1, 8), ModuleDouble(8, 16)])
        self.pools = paddle.nn.LayerList([paddle.nn.MaxPool2D(2), paddle.nn.AvgPool2D(2)])
        self.middle = ModuleDouble(16, 16)
        bound = uniform(16 * 9)
        deconv = paddle.nn.Conv2DTranspose(
            16, 16, 3, stride=2, padding=1, output_padding=1, weight_attr=bound, bias_attr=bound
        )
        grow = paddle.nn.Upsample(size=[16, 16], mode="bilinear", align_corners=True)
        self.ups = paddle.nn.LayerList([deconv, grow])
        self.decoder = paddle.nn.LayerList([ModuleDouble(32, 8), ModuleDouble(16, 8)])
        self.aux = conv(16, CLASSES, 1)
        self.out = conv(8, CLASSES, 1)

    def forward(self, x):
        skips = []
        for level, pool in zip(self.encoder, self.pools, strict=True):
            skips.append(level(x))
            x = pool(skips[-1])
        x = self.middle(x)
        for level, up in zip(self.decoder, self.ups, strict=True):
            x = level(paddle.concat([skips.pop(), up(x)], axis=1))
        return self.out(x)


class UNet(paddle.nn.Layer):
    def __init__(self, doubles=(), pool=functional.avg_pool2d, upsample=(), skip_first=True, offset=1):
        super().__init__()
        changes = dict(doubles)
        shapes = {"down1": (1, 8), "down2": (8, 16), "middle": (16, 16)}
        for name, (inputs, outputs) in shapes.items():
            setattr(self, name, Double(inputs, outputs, **changes.get(name, {})))
        bound = uniform(16 * 9)
        self.up2 = paddle.nn.Conv2DTranspose(
            16, 16, 3, stride=2, padding=offset, output_padding=1, weight_attr=bound, bias_attr=bound
        )
        self.merge2 = Double(32, 8, **changes.get("merge2", {}))
        self.merge1 = Double(16, 8, **changes.get("merge1", {}))
        self.aux = conv(16, CLASSES, 1)
        self.out = conv(8, CLASSES, 1)
        self.pool, self.skip_first = pool, skip_first
        self.upsample = {"mode": "bilinear", "align_corners": True, **dict(upsample)}

    def forward(self, x):
        skip1 = self.down1(x)
        skip2 = self.down2(functional.max_pool2d(skip1, 2))
        x = self.middle(self.pool(skip2, 2))
        up = self.up2(x)
        if up.shape != skip2.shape:
            up = up[:, :, : skip2.shape[2], : skip2.shape[3]]
        x = self.merge2(paddle.concat([skip2, up], axis=1))
        x = functional.interpolate(x, scale_factor=2, **self.upsample)
        return self.out(self.merge1(paddle.concat([skip1, x] if self.skip_first else [x, skip1], axis=1)))


def weighted_entropy(outputs, labels, weights=(1.0, 2.0, 4.0), ignored=IGNORED, reduction="mean"):
    weight = paddle.to_tensor(weights, dtype=outputs.dtype)
    if ignored is None:
        labels = paddle.where(labels == IGNORED, paddle.zeros_like(labels), labels)
    entropy = functional.cross_entropy(
        outputs,
        labels,
        weight=weight,
        ignore_index=-100 if ignored is None else ignored,
        axis=1,
        reduction=reduction,
    )
    return entropy if reduction == "mean" else entropy.mean()


def dice_loss(outputs, labels, *, smooth=1.0, axes=(2, 3), squared=False, softmax_axis=1):
    counted = (labels != IGNORED).unsqueeze(1).astype(outputs.dtype)
    kinds = paddle.stack([labels == kind for kind in range(CLASSES)], 1).astype(outputs.dtype)
    share = functional.softmax(outputs, softmax_axis) * counted
    both = (share * kinds).sum(list(axes))
    size = (share * share if squared else share).sum(list(axes)) + kinds.sum(list(axes))
    return 1 - ((2 * both + smooth) / (size + smooth)).mean()


def port(
    *,
    net=UNet,
    entropy=weighted_entropy,
    dice=dice_loss,
    dice_weight=1.0,
    power=0.9,
    lowest=0.0,
    decoupled=False,
    decay=1e-2,
    beta2=0.999,
    epsilon=1e-8,
    data=(),
    metric=IoU,
    **layers,
) -> Recipe:
    def loss(outputs, targets):
        parts = {"entropy": entropy(outputs, targets[0]), "dice": dice(outputs, targets[0])}
        return {"total": parts["entropy"] + dice_weight * parts["dice"], **parts}

    def optimizer(model):
        schedule = paddle.optimizer.lr.PolynomialDecay(1e-2, decay_steps=10, end_lr=lowest, power=power)
        kind = paddle.optimizer.AdamW if decoupled else paddle.optimizer.Adam
        adam = kind(schedule, parameters=model.parameters(), weight_decay=decay, beta2=beta2, epsilon=epsilon)
        return adam, schedule

    return Recipe(
        model=lambda: net(**layers),
        train_data=lambda: scans(seed=1, **dict(data)),
        eval_data=lambda: scans(seed=2, **dict(data)),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
    )
