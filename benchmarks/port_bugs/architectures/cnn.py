"""A plain convolutional net with batch norm, pooling of every kind, dropout, SGD with Nesterov momentum."""

from __future__ import annotations

import paddle
import torch

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import Accuracy, conv, image_batches, linear, uniform


class TorchBlock(torch.nn.Module):
    def __init__(self, inputs, outputs, size, **settings):
        super().__init__()
        self.conv = torch.nn.Conv2d(inputs, outputs, size, bias=False, **settings)
        self.bn = torch.nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block1 = TorchBlock(3, 16, 3, padding=1)
        self.pool1 = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
        self.block2 = TorchBlock(16, 24, 3, padding=2, dilation=2)
        self.pool2 = torch.nn.AvgPool2d(2, 2, padding=1)
        self.block3 = TorchBlock(24, 32, 3, padding=1, stride=2)
        self.pool3 = torch.nn.AdaptiveAvgPool2d(2)
        self.fc1 = torch.nn.Linear(32 * 4, 48)
        self.dropout = torch.nn.Dropout(0.5)
        self.fc2 = torch.nn.Linear(48, 10)

    def forward(self, x):
        x = self.pool1(self.block1(x))
        x = self.pool2(self.block2(x))
        x = self.pool3(self.block3(x))
        x = torch.flatten(x, 1)
        return self.fc2(self.dropout(torch.relu(self.fc1(x))))


def reference() -> Recipe:
    def optimizer(model):
        sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-3, nesterov=True)
        return sgd, torch.optim.lr_scheduler.MultiStepLR(sgd, milestones=[2, 4], gamma=0.1)

    def loss(outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets[0], label_smoothing=0.1)

    return Recipe(
        model=TorchNet,
        train_data=lambda: image_batches(seed=1, train=True),
        eval_data=lambda: image_batches(seed=2),
        loss=loss,
        optimizer=optimizer,
        metric=Accuracy,
        schedule_every="epoch",
    )


class Block(paddle.nn.Layer):
    def __init__(
        self,
        inputs,
        outputs,
        size,
        *,
        bias=False,
        epsilon=1e-5,
        momentum=0.9,
        global_stats=None,
        affine=None,
        relu_first=False,
        half=False,
        **settings,
    ):
        super().__init__()
        self.conv = conv(inputs, outputs, size, bias=bias, **settings)
        self.bn = paddle.nn.BatchNorm2D(
            outputs,
            momentum=momentum,
            epsilon=epsilon,
            weight_attr=affine,
            bias_attr=affine,
            use_global_stats=global_stats,
        )
        self.relu_first = relu_first
        self.half = half

    def forward(self, x):
        x = self.conv(x)
        if self.half:
            x = x.astype("float16").astype(self.conv.weight.dtype)
        if self.relu_first:
            return self.bn(paddle.nn.functional.relu(x))
        return paddle.nn.functional.relu(self.bn(x))


class Dropout(paddle.nn.Layer):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        return paddle.nn.functional.dropout(x, self.rate)


class Net(paddle.nn.Layer):
    def __init__(
        self,
        block1,
        block2,
        block3,
        *,
        pool1=None,
        exclusive=False,
        channels_last=False,
        dropout=None,
        fc1=None,
        softmax=False,
    ):
        super().__init__()
        self.block1 = Block(3, 16, 3, **{"padding": 1, **block1})
        self.pool1 = pool1() if pool1 else paddle.nn.MaxPool2D(3, 2, ceil_mode=True)
        self.block2 = Block(16, 24, 3, **{"padding": 2, "dilation": 2, **block2})
        self.pool2 = paddle.nn.AvgPool2D(2, 2, padding=1, exclusive=exclusive)
        self.block3 = Block(24, 32, 3, **{"padding": 1, "stride": 2, **block3})
        self.pool3 = paddle.nn.AdaptiveAvgPool2D(2)
        self.fc1 = fc1() if fc1 else linear(32 * 4, 48)
        self.dropout = dropout() if dropout else paddle.nn.Dropout(0.5)
        self.fc2 = linear(48, 10)
        self.channels_last = channels_last
        self.softmax = softmax

    def forward(self, x):
        x = self.pool1(self.block1(x))
        x = self.pool2(self.block2(x))
        x = self.pool3(self.block3(x))
        if self.channels_last:
            x = x.transpose([0, 2, 3, 1])
        x = paddle.flatten(x, 1)
        x = self.fc2(self.dropout(paddle.nn.functional.relu(self.fc1(x))))
        return paddle.nn.functional.softmax(x) if self.softmax else x


class FunctionalNet(paddle.nn.Layer):
    """The same net in functional style: bare parameters and buffers, every operation a function."""

    def __init__(self):
        super().__init__()
        self.block1, self.block2, self.block3 = (
            FunctionalBlock(3, 16, padding=1),
            FunctionalBlock(16, 24, padding=2, dilation=2),
            FunctionalBlock(24, 32, padding=1, stride=2),
        )
        self.fc1, self.fc2 = linear(32 * 4, 48), linear(48, 10)

    def forward(self, x):
        functional = paddle.nn.functional
        x = functional.max_pool2d(self.block1(x), 3, 2, ceil_mode=True)
        x = functional.avg_pool2d(self.block2(x), 2, 2, padding=1, exclusive=False)
        x = functional.adaptive_avg_pool2d(self.block3(x), 2)
        x = functional.relu(self.fc1(x.reshape([x.shape[0], -1])))
        return self.fc2(functional.dropout(x, 0.5, training=self.training))


class FunctionalBlock(paddle.nn.Layer):
    def __init__(self, inputs, outputs, **settings):
        super().__init__()
        self.conv = conv(inputs, outputs, 3, bias=False)
        self.bn = paddle.nn.BatchNorm2D(outputs)
        self.settings = settings

    def forward(self, x):
        functional = paddle.nn.functional
        x = functional.conv2d(x, self.conv.weight, **self.settings)
        x = functional.batch_norm(
            x, self.bn._mean, self.bn._variance, self.bn.weight, self.bn.bias, training=self.training
        )
        return functional.relu(x)


class Backbone(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.features = paddle.nn.Sequential(
            paddle.nn.Sequential(
                conv(3, 16, 3, bias=False, padding=1), paddle.nn.BatchNorm2D(16), paddle.nn.ReLU()
            ),
            paddle.nn.MaxPool2D(3, 2, ceil_mode=True),
            paddle.nn.Sequential(
                conv(16, 24, 3, bias=False, padding=2, dilation=2),
                paddle.nn.BatchNorm2D(24),
                paddle.nn.ReLU(),
            ),
            paddle.nn.AvgPool2D(2, 2, padding=1, exclusive=False),
            paddle.nn.Sequential(
                conv(24, 32, 3, bias=False, padding=1, stride=2), paddle.nn.BatchNorm2D(32), paddle.nn.ReLU()
            ),
        )

    def forward(self, x):
        return self.features(x)


class NestedNet(paddle.nn.Layer):
    """The same net under other names: a backbone, a neck, a head, all Sequential."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = paddle.nn.AdaptiveAvgPool2D(2)
        self.head = paddle.nn.Sequential(
            paddle.nn.Flatten(), linear(32 * 4, 48), paddle.nn.ReLU(), paddle.nn.Dropout(0.5), linear(48, 10)
        )

    def forward(self, x):
        return self.head(self.neck(self.backbone(x)))


class ChannelsLastNet(paddle.nn.Layer):
    """The same net computed in NHWC; the weights keep their layout."""

    def __init__(self):
        super().__init__()
        last = {"data_format": "NHWC"}
        self.conv1, self.bn1 = (
            conv(3, 16, 3, bias=False, padding=1, **last),
            paddle.nn.BatchNorm2D(16, **last),
        )
        self.conv2 = conv(16, 24, 3, bias=False, padding=2, dilation=2, **last)
        self.bn2 = paddle.nn.BatchNorm2D(24, **last)
        self.conv3 = conv(24, 32, 3, bias=False, padding=1, stride=2, **last)
        self.bn3 = paddle.nn.BatchNorm2D(32, **last)
        self.fc1, self.dropout, self.fc2 = linear(32 * 4, 48), paddle.nn.Dropout(0.5), linear(48, 10)

    def forward(self, x):
        functional = paddle.nn.functional
        x = functional.relu(self.bn1(self.conv1(x.transpose([0, 2, 3, 1]))))
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True, data_format="NHWC")
        x = functional.relu(self.bn2(self.conv2(x)))
        x = functional.avg_pool2d(x, 2, 2, padding=1, exclusive=False, data_format="NHWC")
        x = functional.relu(self.bn3(self.conv3(x)))
        x = functional.adaptive_avg_pool2d(x, 2, data_format="NHWC").transpose([0, 3, 1, 2]).flatten(1)
        return self.fc2(self.dropout(functional.relu(self.fc1(x))))


def torch_layout_fc1():
    """The Linear that PaConvert 3 writes: torch's weight layout in Paddle."""
    layer = paddle.compat.nn.Linear(32 * 4, 48)
    for weight in (layer.weight, layer.bias):
        paddle.nn.initializer.Uniform(-(128**-0.5), 128**-0.5)(weight)
    return layer


def wide_initial_fc1():
    """Paddle's own defaults: Xavier weights and zero bias."""
    return paddle.nn.Linear(32 * 4, 48)


def fan_out_fc1():
    return paddle.nn.Linear(32 * 4, 48, weight_attr=uniform(48), bias_attr=uniform(128))


def port(
    *,
    net=Net,
    block1=(),
    block2=(),
    block3=(),
    data=(),
    train=(),
    evaluation=(),
    learning_rate=0.05,
    momentum=0.9,
    nesterov=True,
    decay=5e-3,
    decay_kind=None,
    milestones=(2, 4),
    gamma=0.1,
    schedule_every="epoch",
    smoothing=0.1,
    reduction="mean",
    metric=Accuracy,
    **layers,
) -> Recipe:
    def model():
        if net is not Net:
            return net()
        return Net(dict(block1), dict(block2), dict(block3), **layers)

    def optimizer(model):
        schedule = paddle.optimizer.lr.MultiStepDecay(learning_rate, milestones=list(milestones), gamma=gamma)
        momentum_optimizer = paddle.optimizer.Momentum(
            schedule,
            momentum=momentum,
            parameters=model.parameters(),
            use_nesterov=nesterov,
            weight_decay=decay_kind(decay) if decay_kind else decay,
        )
        return momentum_optimizer, schedule

    def loss(outputs, targets):
        return paddle.nn.functional.cross_entropy(
            outputs, targets[0], label_smoothing=smoothing, reduction=reduction
        )

    return Recipe(
        model=model,
        train_data=lambda: image_batches(seed=1, **{"train": True, **dict(data), **dict(train)}),
        eval_data=lambda: image_batches(seed=2, **{**dict(data), **dict(evaluation)}),
        loss=loss,
        optimizer=optimizer,
        metric=metric,
        schedule_every=schedule_every,
    )
