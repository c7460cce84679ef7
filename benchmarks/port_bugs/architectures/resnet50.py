"""ResNet-50 version 1.5 (stride in the 3x3): all its layers, a sixteenth of the width, 48-pixel pictures."""

from __future__ import annotations

import paddle
import torch

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import Accuracy, image_batches, linear

WIDTH = 4
DEPTHS = (3, 4, 6, 3)
SIZE = 48


class TorchBottleneck(torch.nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.conv2 = torch.nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(width)
        self.conv3 = torch.nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = torch.nn.BatchNorm2d(width * 4)
        torch.nn.init.constant_(self.bn3.weight, 0.5)
        self.relu = torch.nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != width * 4:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(inputs, width * 4, 1, stride, bias=False), torch.nn.BatchNorm2d(width * 4)
            )

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + identity)


class TorchResNet(torch.nn.Module):
    def __init__(self, base=WIDTH):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, base, 7, 2, padding=3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(base)
        self.maxpool = torch.nn.MaxPool2d(3, 2, padding=1)
        inputs = base
        for stage, depth in enumerate(DEPTHS):
            blocks = []
            for index in range(depth):
                width = base * 2**stage
                blocks.append(TorchBottleneck(inputs, width, 2 if stage and not index else 1))
                inputs = width * 4
            self.add_module(f"layer{stage + 1}", torch.nn.Sequential(*blocks))
        self.avgpool = torch.nn.AdaptiveAvgPool2d(1)
        self.fc = torch.nn.Linear(inputs, 10)
        for module in self.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def reference() -> Recipe:
    def optimizer(model):
        decayed = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim == 1]
        sgd = torch.optim.SGD(
            [{"params": decayed, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}],
            lr=0.1,
            momentum=0.9,
        )
        return sgd, torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=10)

    return Recipe(
        model=TorchResNet,
        train_data=lambda: image_batches(seed=3, train=True, size=SIZE),
        eval_data=lambda: image_batches(seed=4, size=SIZE),
        loss=lambda outputs, targets: torch.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=Accuracy,
    )


def normal_conv(inputs, outputs, size, mode="fan_out", **settings):
    fan = (outputs if mode == "fan_out" else inputs) * size * size
    initial = paddle.nn.initializer.Normal(0.0, (2 / fan) ** 0.5)
    attr = paddle.ParamAttr(initializer=initial)
    return paddle.nn.Conv2D(inputs, outputs, size, weight_attr=attr, bias_attr=False, **settings)


class Bottleneck(paddle.nn.Layer):
    def __init__(
        self,
        inputs,
        width,
        stride,
        *,
        stride_in_first=False,
        residual_gain=0.5,
        fan="fan_out",
        relu_before_add=False,
        residual=True,
        shortcut_norm=True,
        eps3=1e-5,
    ):
        super().__init__()
        first, second = (stride, 1) if stride_in_first else (1, stride)
        self.conv1 = normal_conv(inputs, width, 1, fan, stride=first)
        self.bn1 = paddle.nn.BatchNorm2D(width)
        self.conv2 = normal_conv(width, width, 3, fan, stride=second, padding=1)
        self.bn2 = paddle.nn.BatchNorm2D(width)
        self.conv3 = normal_conv(width, width * 4, 1, fan)
        gain = paddle.ParamAttr(initializer=paddle.nn.initializer.Constant(residual_gain))
        self.bn3 = paddle.nn.BatchNorm2D(width * 4, epsilon=eps3, weight_attr=gain)
        self.relu = paddle.nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != width * 4:
            shortcut = [normal_conv(inputs, width * 4, 1, fan, stride=stride)]
            if shortcut_norm:
                shortcut.append(paddle.nn.BatchNorm2D(width * 4))
            self.downsample = paddle.nn.Sequential(*shortcut)
        self.relu_before_add, self.residual = relu_before_add, residual

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if not self.residual:
            return self.relu(out)
        if self.relu_before_add:
            return self.relu(out) + identity
        return self.relu(out + identity)


class ResNet(paddle.nn.Layer):
    """``block_changes`` maps "stage.index" (or "all") to keywords of that Bottleneck."""

    def __init__(self, block_changes=(), stem_padding=1, pool=None, stem_relu=True, base=WIDTH):
        super().__init__()
        changes = dict(block_changes)
        fan = changes.get("all", {}).get("fan", "fan_out")
        self.conv1 = normal_conv(3, base, 7, fan, stride=2, padding=3)
        self.bn1 = paddle.nn.BatchNorm2D(base)
        self.maxpool = paddle.nn.MaxPool2D(3, 2, padding=stem_padding, ceil_mode=stem_padding == 0)
        inputs = base
        for stage, depth in enumerate(DEPTHS):
            blocks = []
            for index in range(depth):
                width = base * 2**stage
                change = {**changes.get("all", {}), **changes.get(f"{stage + 1}.{index}", {})}
                blocks.append(Bottleneck(inputs, width, 2 if stage and not index else 1, **change))
                inputs = width * 4
            self.add_sublayer(f"layer{stage + 1}", paddle.nn.Sequential(*blocks))
        self.avgpool = pool() if pool else paddle.nn.AdaptiveAvgPool2D(1)
        self.fc = linear(inputs, 10)
        self.stem_relu = stem_relu

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        x = self.maxpool(paddle.nn.functional.relu(x) if self.stem_relu else x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(paddle.flatten(self.avgpool(x), 1))


def decay_by_group(model, momentum, schedule):
    """As the reference: weights of more than one dimension decay, norms and biases do not."""
    trained = [p for p in model.parameters() if not p.stop_gradient]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 1e-2},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
    return paddle.optimizer.Momentum(schedule, momentum=momentum, parameters=groups)


def decay_by_regularizer(model, momentum, schedule):
    """The same in one group: the decay is set on each parameter."""
    for p in model.parameters():
        p.regularizer = paddle.regularizer.L2Decay(1e-2) if p.ndim > 1 else None
    return paddle.optimizer.Momentum(schedule, momentum=momentum, parameters=model.parameters())


def decay_everywhere(model, momentum, schedule):
    return paddle.optimizer.Momentum(
        schedule, momentum=momentum, parameters=model.parameters(), weight_decay=1e-2
    )


def port(
    *,
    groups=decay_by_group,
    momentum=0.9,
    cosine_steps=10,
    lowest=0.0,
    learning_rate=0.1,
    metric=Accuracy,
    **layers,
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.CosineAnnealingDecay(learning_rate, T_max=cosine_steps, eta_min=lowest)
        return groups(model, momentum, schedule), schedule

    return Recipe(
        model=lambda: ResNet(**layers),
        train_data=lambda: image_batches(seed=3, train=True, size=SIZE),
        eval_data=lambda: image_batches(seed=4, size=SIZE),
        loss=lambda outputs, targets: paddle.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
        metric=metric,
    )
