"""MobileNetV2: inverted residuals, depthwise convolutions, ReLU6, a moving average that is evaluated."""

from __future__ import annotations

import paddle
import torch

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import Accuracy, conv, image_batches, linear

SETTINGS = ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 2, 2))
"""Expansion, channels, blocks, first stride of each stage."""
EMA_DECAY = 0.9
STEM_SCALE = 8.0
"""Initial scale of the first norm: large enough for ReLU6's upper bound to be reached."""


def torch_conv_bn(inputs, outputs, size, stride=1, groups=1):
    return torch.nn.Sequential(
        torch.nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
        torch.nn.BatchNorm2d(outputs),
        torch.nn.ReLU6(),
    )


class TorchInvertedResidual(torch.nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        layers = [torch_conv_bn(inputs, hidden, 1)] if expansion != 1 else []
        layers += [
            torch_conv_bn(hidden, hidden, 3, stride, groups=hidden),
            torch.nn.Conv2d(hidden, outputs, 1, bias=False),
            torch.nn.BatchNorm2d(outputs),
        ]
        self.conv = torch.nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class TorchMobileNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        features = [torch_conv_bn(3, 8, 3, 2)]
        inputs = 8
        for expansion, outputs, blocks, stride in SETTINGS:
            for index in range(blocks):
                features.append(TorchInvertedResidual(inputs, outputs, 1 if index else stride, expansion))
                inputs = outputs
        features.append(torch_conv_bn(inputs, 32, 1))
        torch.nn.init.constant_(features[0][1].weight, STEM_SCALE)
        self.features = torch.nn.Sequential(*features)
        self.classifier = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(32, 10))

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


class TorchHardMobileNet(TorchMobileNet):
    """With squeeze-excitation by hard sigmoid and 7x7 average pooling, as MobileNetV3's head has them."""

    def __init__(self):
        super().__init__()
        self.squeeze = torch.nn.Linear(32, 32)
        self.hard_sigmoid = torch.nn.Hardsigmoid()
        self.pool = torch.nn.AvgPool2d(7)

    def forward(self, x):
        x = self.features(x)
        x = torch.nn.functional.hardswish(x)
        x = torch.nn.functional.interpolate(x, size=(7, 7), mode="nearest")
        gate = self.hard_sigmoid(self.squeeze(self.pool(x).flatten(1)))
        return self.classifier(x.mean([2, 3]) * gate)


def torch_average(averaged, trained, updates):
    for mean, value in zip(averaged.parameters(), trained.parameters(), strict=True):
        mean.mul_(EMA_DECAY).add_(value, alpha=1 - EMA_DECAY)


def reference(*, net=TorchMobileNet) -> Recipe:
    def optimizer(model):
        sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=4e-4)
        schedule = torch.optim.lr_scheduler.ExponentialLR(sgd, gamma=0.9)
        return sgd, schedule

    return Recipe(
        model=net,
        train_data=lambda: image_batches(seed=5, train=True, size=32),
        eval_data=lambda: image_batches(seed=6, size=32),
        loss=lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=lambda: Accuracy(k=1),
        schedule_every="epoch",
        average=torch_average,
    )


def conv_bn(inputs, outputs, size, stride=1, *, groups=1, activation=paddle.nn.ReLU6, same=False, dilation=1):
    """``same`` pads as TensorFlow does: for stride 2, nothing at the top left and one at the bottom right."""
    padding = (size // 2) * dilation
    before = []
    if same and stride == 2:
        before, padding = [paddle.nn.Pad2D([0, size // 2, 0, size // 2])], 0
    return paddle.nn.Sequential(
        *before,
        conv(
            inputs,
            outputs,
            size,
            stride=stride,
            padding=padding,
            groups=groups,
            bias=False,
            dilation=dilation,
        ),
        paddle.nn.BatchNorm2D(outputs),
        activation(),
    )


class InvertedResidual(paddle.nn.Layer):
    def __init__(
        self, inputs, outputs, stride, expansion, *, residual=True, last_activation=False, depthwise=()
    ):
        super().__init__()
        hidden = inputs * expansion
        self.residual = residual and stride == 1 and inputs == outputs
        layers = [conv_bn(inputs, hidden, 1)] if expansion != 1 else []
        layers += [
            conv_bn(hidden, hidden, 3, stride, **{"groups": hidden, **dict(depthwise)}),
            conv(hidden, outputs, 1, bias=False),
            paddle.nn.BatchNorm2D(outputs),
        ]
        if last_activation:
            layers.append(paddle.nn.ReLU6())
        self.conv = paddle.nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNet(paddle.nn.Layer):
    """``blocks`` maps a block's index among the features to keywords of InvertedResidual."""

    def __init__(self, *, stem=(), blocks=(), dropout=0.2, pooling="mean"):
        super().__init__()
        changes = dict(blocks)
        features = [conv_bn(3, 8, 3, 2, **dict(stem))]
        inputs = 8
        for expansion, outputs, count, stride in SETTINGS:
            for index in range(count):
                change = changes.get(len(features), {})
                features.append(
                    InvertedResidual(inputs, outputs, 1 if index else stride, expansion, **change)
                )
                inputs = outputs
        features.append(conv_bn(inputs, 32, 1))
        paddle.nn.initializer.Constant(STEM_SCALE)(features[0][1].weight)
        self.features = paddle.nn.Sequential(*features)
        self.classifier = paddle.nn.Sequential(paddle.nn.Dropout(dropout), linear(32, 10))
        self.pooling = pooling

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.max([2, 3]) if self.pooling == "max" else x.mean([2, 3]))


class HardMobileNet(MobileNet):
    def __init__(self, slope=1 / 6, swish=paddle.nn.functional.hardswish):
        super().__init__()
        self.squeeze = linear(32, 32)
        self.slope = slope
        self.swish = swish
        self.pool = paddle.nn.AvgPool2D(7)

    def forward(self, x):
        x = self.swish(self.features(x))
        x = paddle.nn.functional.interpolate(x, size=(7, 7), mode="nearest")
        gate = paddle.nn.functional.hardsigmoid(
            self.squeeze(self.pool(x).flatten(1)), slope=self.slope, offset=0.5
        )
        return self.classifier(x.mean([2, 3]) * gate)


def moving_average(decay):
    def average(averaged, trained, updates):
        for mean, value in zip(averaged.parameters(), trained.parameters(), strict=True):
            if not value.stop_gradient:
                mean.set_value(decay * mean + (1 - decay) * value)

    return average


def port(
    *,
    net=MobileNet,
    ema_decay=EMA_DECAY,
    gamma=0.9,
    decay=4e-4,
    k=1,
    **layers,
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.ExponentialDecay(0.05, gamma=gamma)
        momentum = paddle.optimizer.Momentum(
            schedule, momentum=0.9, parameters=model.parameters(), weight_decay=decay
        )
        return momentum, schedule

    return Recipe(
        model=lambda: net(**layers),
        train_data=lambda: image_batches(seed=5, train=True, size=32),
        eval_data=lambda: image_batches(seed=6, size=32),
        loss=lambda outputs, targets: paddle.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=lambda: Accuracy(k=k),
        schedule_every="epoch",
        average=moving_average(ema_decay),
    )
