"""Super-resolution: residual blocks, pixel shuffle, a bicubic skip, mean shift as buffers, L1 loss, PSNR."""

from __future__ import annotations

import numpy as np
import paddle
import torch
from paddle.nn import functional

from fuxian.recipe import Recipe
from port_bugs.architectures.parts import conv

CHANNELS, BLOCKS = 12, 2
MEAN = (0.4488, 0.4371, 0.4040)


def pairs(*, seed, count=5, batch=2, size=8, bgr=False, scale=1.0):
    """Pictures in [0, 1] at a half and at full resolution."""
    rng = np.random.default_rng(seed)
    large = rng.random((count, 3, 2 * size, 2 * size)).astype("float32")
    small = large.reshape(count, 3, size, 2, size, 2).mean((3, 5)) * scale
    if bgr:
        small, large = small[:, ::-1].copy(), large[:, ::-1].copy()
    for start in range(0, count, batch):
        rows = slice(start, start + batch)
        yield {"inputs": (small[rows].astype("float32"),), "targets": (large[rows],)}


class PSNR:
    """Peak signal-to-noise ratio in dB, per picture, without a border of two pixels."""

    def __init__(self, border=2, of_mean_error=False):
        self.border, self.of_mean_error, self.errors = border, of_mean_error, []

    def update(self, outputs, targets):
        inner = slice(self.border, -self.border or None)
        gap = (np.clip(outputs, 0, 1) - targets[0])[:, :, inner, inner]
        self.errors += (gap**2).mean((1, 2, 3)).tolist()

    def figures(self, selection=None):
        if self.of_mean_error:
            return {"psnr": float(10 * np.log10(1 / np.mean(self.errors)))}
        return {"psnr": float(np.mean(self.examples()["psnr"]))}

    def examples(self):
        return {"psnr": (10 * np.log10(1 / np.array(self.errors))).tolist()}


class TorchBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            torch.nn.LeakyReLU(0.2),
            torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        )

    def forward(self, x):
        return x + 0.2 * self.body(x)


class TorchSharedBlocks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = TorchBlock()

    def forward(self, x):
        return self.block(self.block(x))


def torch_separate_blocks():
    return torch.nn.Sequential(*[TorchBlock() for _ in range(BLOCKS)])


class TorchNet(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).to(torch.get_default_dtype()).reshape(1, 3, 1, 1))
        self.first = torch.nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.blocks = blocks()
        self.grow = torch.nn.Conv2d(CHANNELS, 4 * CHANNELS, 3, padding=1)
        self.shuffle = torch.nn.PixelShuffle(2)
        self.last = torch.nn.Conv2d(CHANNELS, 3, 3, padding=1)

    def forward(self, x):
        features = self.first(x - self.mean)
        features = features + self.blocks(features)
        base = torch.nn.functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
        return self.last(self.shuffle(self.grow(features))) + base


def reference(*, blocks=torch_separate_blocks) -> Recipe:
    def optimizer(model):
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        return adam, torch.optim.lr_scheduler.CosineAnnealingLR(adam, T_max=8, eta_min=1e-5)

    return Recipe(
        model=lambda: TorchNet(blocks),
        train_data=lambda: pairs(seed=1),
        eval_data=lambda: pairs(seed=2),
        loss=lambda outputs, targets: torch.nn.functional.l1_loss(outputs, targets[0]),
        optimizer=optimizer,
        metric=PSNR,
    )


class Block(paddle.nn.Layer):
    def __init__(self, slope=0.2, weight=0.2):
        super().__init__()
        self.body = paddle.nn.Sequential(
            conv(CHANNELS, CHANNELS, 3, padding=1),
            paddle.nn.LeakyReLU(slope),
            conv(CHANNELS, CHANNELS, 3, padding=1),
        )
        self.weight = weight

    def forward(self, x):
        return x + self.weight * self.body(x)


class DepthToSpace(paddle.nn.Layer):
    """TensorFlow's order: the block's place varies slower than the channel."""

    def forward(self, x):
        batch, channels, height, width = x.shape
        x = x.reshape([batch, 2, 2, channels // 4, height, width]).transpose([0, 3, 4, 1, 5, 2])
        return x.reshape([batch, channels // 4, 2 * height, 2 * width])


class SharedBlocks(paddle.nn.Layer):
    """One block applied twice."""

    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(self.block(x))


class Net(paddle.nn.Layer):
    def __init__(
        self,
        *,
        blocks=lambda: paddle.nn.Sequential(*[Block() for _ in range(BLOCKS)]),
        shuffle=lambda: paddle.nn.PixelShuffle(2),
        mean=MEAN,
        mode="bicubic",
        align_mode=0,
        long_skip=True,
        eval_clip=False,
        in_place=False,
    ):
        super().__init__()
        self.register_buffer(
            "mean", paddle.to_tensor(mean, dtype=paddle.get_default_dtype()).reshape([1, 3, 1, 1])
        )
        self.first = conv(3, CHANNELS, 3, padding=1)
        self.blocks = blocks()
        self.grow = conv(CHANNELS, 4 * CHANNELS, 3, padding=1)
        self.shuffle = shuffle()
        self.last = conv(CHANNELS, 3, 3, padding=1)
        self.mode, self.align_mode, self.long_skip = mode, align_mode, long_skip
        self.eval_clip, self.in_place = eval_clip, in_place

    def forward(self, x):
        features = self.first(x.subtract_(self.mean) if self.in_place else x - self.mean)
        deep = self.blocks(features)
        features = features + deep if self.long_skip else deep
        base = functional.interpolate(x, scale_factor=2, mode=self.mode, align_mode=self.align_mode)
        x = self.last(self.shuffle(self.grow(features))) + base
        return x.clip(0, 1) if self.eval_clip else x


def l1(outputs, wanted):
    return functional.l1_loss(outputs, wanted)


def l2(outputs, wanted):
    return functional.mse_loss(outputs, wanted)


def charbonnier(outputs, wanted):
    return paddle.sqrt((outputs - wanted) ** 2 + 1e-6).mean()


def port(
    *, criterion=l1, beta1=0.9, lowest=1e-5, learning_rate=1e-3, data=(), metric=PSNR, **layers
) -> Recipe:
    def optimizer(model):
        schedule = paddle.optimizer.lr.CosineAnnealingDecay(learning_rate, T_max=8, eta_min=lowest)
        return paddle.optimizer.Adam(schedule, parameters=model.parameters(), beta1=beta1), schedule

    return Recipe(
        model=lambda: Net(**layers),
        train_data=lambda: pairs(seed=1, **dict(data)),
        eval_data=lambda: pairs(seed=2, **dict(data)),
        loss=lambda outputs, targets: criterion(outputs, targets[0]),
        optimizer=optimizer,
        metric=metric,
    )
