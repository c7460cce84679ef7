"""What several ports share: torch's default initial distributions, image batches, top-1 accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import paddle

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def uniform(fan_in: int) -> paddle.ParamAttr:
    """torch's default for the weight and the bias of Linear and Conv: uniform in +-1/sqrt(fan in)."""
    bound = 1 / math.sqrt(fan_in)
    return paddle.ParamAttr(initializer=paddle.nn.initializer.Uniform(-bound, bound))


def linear(inputs: int, outputs: int) -> paddle.nn.Linear:
    return paddle.nn.Linear(inputs, outputs, weight_attr=uniform(inputs), bias_attr=uniform(inputs))


def conv(
    inputs: int, outputs: int, size: int, *, bias: bool = True, groups: int = 1, **settings
) -> paddle.nn.Conv2D:
    fan_in = inputs // groups * size * size
    return paddle.nn.Conv2D(
        inputs,
        outputs,
        size,
        groups=groups,
        weight_attr=uniform(fan_in),
        bias_attr=uniform(fan_in) if bias else False,
        **settings,
    )


def image_batches(
    *,
    seed: int,
    count: int = 10,
    batch: int = 4,
    size: int = 16,
    classes: int = 10,
    train: bool = False,
    mean: tuple = MEAN,
    std: tuple = STD,
    scale: float = 1 / 255,
    bgr: bool = False,
    flip: bool = True,
    shuffle: bool = True,
    drop_last: bool = False,
    crop_at: int = 2,
    first_label: int = 0,
) -> Iterator[dict]:
    """Batches of normalised NCHW float32 pictures with int64 labels; ``train`` shuffles and flips."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, (size + 4) // 4, (size + 4) // 4, 3), dtype=np.uint8)
    pictures = coarse.repeat(4, axis=1).repeat(4, axis=2)[
        :, crop_at : crop_at + size, crop_at : crop_at + size
    ]
    labels = rng.integers(0, classes, count) + first_label
    draws = np.random.default_rng(seed + 1)
    order = draws.permutation(count) if train and shuffle else np.arange(count)
    if bgr:
        pictures = pictures[..., ::-1]
    normal = (pictures * scale - np.asarray(mean)) / np.asarray(std)
    for start in range(0, count, batch):
        chosen = order[start : start + batch]
        if drop_last and len(chosen) < batch:
            return
        images = normal[chosen].transpose(0, 3, 1, 2).astype("float32")
        if train and flip:
            for row in np.flatnonzero(draws.random(len(chosen)) < 0.5):
                images[row] = images[row, :, :, ::-1]
        yield {"inputs": (images,), "targets": (labels[chosen].astype("int64"),)}


class Accuracy:
    """Share of pictures whose label is among the ``k`` highest scores."""

    def __init__(self, k: int = 1, mean_of_batches: bool = False) -> None:
        self.k, self.mean_of_batches = k, mean_of_batches
        self.batches: list[list[float]] = []

    def update(self, outputs, targets) -> None:
        best = np.argsort(-outputs, axis=1, kind="stable")[:, : self.k]
        self.batches.append((best == targets[0][:, None]).any(axis=1).astype(float).tolist())

    def figures(self, selection=None) -> dict[str, float]:
        if self.mean_of_batches:
            return {"top1": float(np.mean([np.mean(hits) for hits in self.batches]))}
        return {"top1": float(np.mean(self.examples()["top1"]))}

    def examples(self) -> dict[str, list[float]]:
        return {"top1": [hit for hits in self.batches for hit in hits]}
