"""PortraitNet's batches, made as the official code makes them (data/data_aug.py, data/datasets_portraitseg.py).

Batch ``i`` is made from ``(seed, i)`` alone, so that a resumed run sees the very batches that an uninterrupted one
would. Pictures are RGB here until ``normalised`` turns them. Shape legend: N pictures, S the side of what the network
is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from fuxian.datasets import portraits
from fuxian.papers.portraitnet.rendered import render
from fuxian.papers.portraitnet.settings import Setting
from fuxian.recipe import Batch

Split = Literal["validation", "test"]
Example = tuple[np.ndarray, np.ndarray]
"""A picture, uint8 [H, W, 3] RGB, and its mask, uint8 [H, W], 1 for the person."""

MEAN = np.array([103.94, 116.78, 123.68], np.float32)
SCALE = np.float32(0.017)
PADDING = 128
EDGE_WIDTH = 4
MOST_NOISE = 10.0
HELD_OUT = 60
"""Of the scaled run's 798 training pictures, those that validate a running training and are never trained on."""


def normalised(picture: np.ndarray) -> np.ndarray:
    """float32 [3, H, W] of an RGB picture [H, W, 3] of values 0 to 255: BGR, less the mean, times 0.017."""
    turned = (picture[..., ::-1].astype(np.float32) - MEAN) * SCALE
    return np.ascontiguousarray(turned.transpose(2, 0, 1))


def smoothed(mask: np.ndarray) -> np.ndarray:
    """The mask, uint8 [S, S], after a majority vote over 5 x 5 pixels, as every official target is."""
    return np.asarray(cv2.blur(mask, (5, 5)))


def edges(mask: np.ndarray) -> np.ndarray:
    """The target of the boundary loss, uint8 [S, S]: the mask's contours, four pixels wide (section 3.2)."""
    drawn = np.zeros_like(mask)
    contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.drawContours(drawn, contours, -1, 1, EDGE_WIDTH))


def placement(width: int, height: int, setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """A matrix [2, 3] from a picture's pixels to those of a training picture: the centre goes to the centre, then the
    picture is turned and scaled about a point near by."""
    most = setting.side * setting.most_shift
    off = rng.uniform(-most, most, 2)
    angle, scale = rng.uniform(-setting.most_angle, setting.most_angle), rng.uniform(*setting.scales)
    return placed(width, height, setting.side, off, angle, scale)


def placed(width: int, height: int, side: int, off: np.ndarray, angle: float, scale: float) -> np.ndarray:
    """``placement`` of given numbers: ``off`` in pixels (x, y), ``angle`` in degrees."""
    factor = scale * float(np.mean([side / (width - 1), side / (height - 1)]))
    along, across = factor * math.cos(math.radians(angle)), factor * math.sin(math.radians(angle))
    x, y = side / 2 + off[0], side / 2 + off[1]
    turn = np.array(
        [
            [along, across, (1 - along) * x - across * y],
            [-across, along, across * x + (1 - along) * y],
        ]
    )
    to_centre = np.eye(3)
    to_centre[:2, 2] = (side - (width - 1)) / 2, (side - (height - 1)) / 2
    return turn @ to_centre


def warped(example: Example, setting: Setting, rng: np.random.Generator) -> Example:
    """The picture and its mask at the network's side: turned, scaled, moved, and mirrored half of the times."""
    picture, mask = example
    side = setting.side
    matrix = placement(picture.shape[1], picture.shape[0], setting, rng)
    grey = (PADDING, PADDING, PADDING)
    picture = cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=grey)
    mask = cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_NEAREST)
    if rng.random() >= 0.5:
        picture, mask = picture[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(picture), np.ascontiguousarray(mask)


def relit(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour, brightness, contrast and sharpness changed together, half of the times."""
    if rng.random() < 0.5:
        return picture
    image = Image.fromarray(picture)
    changes = (
        (ImageEnhance.Color, 4, 17),
        (ImageEnhance.Brightness, 4, 17),
        (ImageEnhance.Contrast, 6, 15),
        (ImageEnhance.Sharpness, 8, 13),
    )
    for kind, low, high in changes:
        image = kind(image).enhance(rng.integers(low, high) / 10)
    return np.asarray(image)


def blurred(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian, median or box filter of 3 or 5 pixels, half of the times."""
    if rng.random() < 0.5:
        return picture
    choice, size = rng.random(), int(rng.choice((3, 5)))
    if choice < 0.3:
        return np.asarray(cv2.GaussianBlur(picture, (size, size), 0))
    if choice < 0.6:
        return np.asarray(cv2.medianBlur(picture, size))
    return np.asarray(cv2.blur(picture, (size, size)))


def noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of a deviation of up to 10, half of the times; float32 then."""
    if rng.random() < 0.5:
        return picture
    noise = rng.normal(0, rng.uniform(0, MOST_NOISE), picture.shape)
    return np.clip(picture.astype(np.float32) + noise.astype(np.float32), 0, 255)


def textured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The augmented picture of section 3.3: other light, blur and noise, the same shapes."""
    return noisy(blurred(relit(picture, rng), rng), rng)


def padded(example: Example, side: int) -> Example:
    """The test's picture and mask: grey borders make a square, which is scaled to ``side`` by cubic interpolation."""
    picture, mask = example
    height, width = mask.shape
    whole = max(height, width)
    top, left = (whole - height) // 2, (whole - width) // 2
    square = np.full((whole, whole, 3), PADDING, np.uint8)
    square_mask = np.zeros((whole, whole), np.uint8)
    square[top : top + height, left : left + width] = picture
    square_mask[top : top + height, left : left + width] = mask
    size = (side, side)
    return (
        np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_CUBIC)),
        np.asarray(cv2.resize(square_mask, size, interpolation=cv2.INTER_CUBIC)),
    )


def training_batch(
    examples: Sequence[Example], setting: Setting, rngs: Sequence[np.random.Generator]
) -> Batch:
    """Inputs: augmented and original [N, 3, S, S] float32; targets: mask and edges [N, S, S] int64."""
    augmented, originals, masks, boundaries = [], [], [], []
    for example, rng in zip(examples, rngs, strict=True):
        picture, mask = warped(example, setting, rng)
        mask = smoothed(mask)
        augmented.append(normalised(textured(picture, rng)))
        originals.append(normalised(picture))
        masks.append(mask.astype(np.int64))
        boundaries.append(edges(mask).astype(np.int64))
    return {
        "inputs": (np.stack(augmented), np.stack(originals)),
        "targets": (np.stack(masks), np.stack(boundaries)),
    }


def test_batch(examples: Sequence[Example], side: int) -> Batch:
    """Inputs: pictures [N, 3, S, S] float32; targets: masks [N, S, S] int64."""
    both = [padded(example, side) for example in examples]
    return {
        "inputs": (np.stack([normalised(picture) for picture, _ in both]),),
        "targets": (np.stack([smoothed(mask).astype(np.int64) for _, mask in both]),),
    }


@dataclass(frozen=True, eq=False)
class Training(Sequence[Batch]):
    """``length`` batches; each epoch has its own order, and what is left at its end is dropped."""

    setting: Setting
    length: int
    seed: int
    examples: Sequence[Example]

    def __len__(self) -> int:
        return self.length

    @property
    def epoch(self) -> int:
        """Batches in an epoch."""
        return max(1, len(self.examples) // self.setting.batch)

    def __getitem__(self, step):
        if not 0 <= step < self.length:
            raise IndexError(step)
        epoch, within = divmod(step, self.epoch)
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.examples))
        chosen = order[within * self.setting.batch : (within + 1) * self.setting.batch]
        rngs = [np.random.default_rng([self.seed, 1, step, place]) for place in range(len(chosen))]
        return training_batch([self.examples[int(row)] for row in chosen], self.setting, rngs)


@dataclass(frozen=True, eq=False)
class Evaluation(Sequence[Batch]):
    """The test protocol on some examples, 16 at a time: each picture is measured by itself."""

    side: int
    examples: Sequence[Example]
    at_once: int = 16

    def __len__(self) -> int:
        return math.ceil(len(self.examples) / self.at_once)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        rows = range(index * self.at_once, min(len(self.examples), (index + 1) * self.at_once))
        return test_batch([self.examples[row] for row in rows], self.side)


@dataclass(frozen=True, eq=False)
class Rendered(Sequence[Example]):
    """Generated portraits."""

    length: int
    seed: int
    side: int = 96

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        return render(np.random.default_rng([self.seed, index]), self.side)


@dataclass(frozen=True, eq=False)
class Chosen(Sequence[Example]):
    """Some rows of a data set."""

    whole: Sequence[Example]
    rows: range

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.whole[self.rows[index]]


@lru_cache(maxsize=4)
def examples_of(data: str, part: Literal["train", "validation", "test"]) -> Sequence[Example]:
    """A part of a data set. Raises InputError where it is not there."""
    if data == "generated":
        return Rendered(32, {"train": 1, "validation": 2, "test": 3}[part])
    if part == "test":
        return portraits.load(data, "test")  # type: ignore[arg-type]
    whole = portraits.load(data, "train")  # type: ignore[arg-type]
    # The paper's rows train on every training picture; the last ones then also stand in for a validation.
    held = HELD_OUT if data == "portraits" else 0
    if part == "train":
        return Chosen(whole, range(len(whole) - held))
    return Chosen(whole, range(max(0, len(whole) - HELD_OUT), len(whole)))


def training(setting: Setting, *, length: int, seed: int) -> Training:
    """The training batches of a setting."""
    return Training(setting, length, seed, examples_of(setting.data, "train"))


def evaluation(setting: Setting, split: Split) -> Evaluation:
    """The test pictures, or those that validate a running training."""
    return Evaluation(setting.side, examples_of(setting.data, split))
