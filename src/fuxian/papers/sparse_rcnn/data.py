"""Batches of pictures with boxes: scaled, flipped and cropped as the official code does (dataset_mapper.py).

Batch ``i`` is made from ``(seed, i)`` alone, so that a resumed run sees the very batches that an uninterrupted one
would. Shape legend: N pictures, H and W the batch's height and width, G objects of a picture, M most objects of one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from fuxian.datasets import bccd, coco
from fuxian.datasets.detection import AnnotatedImage, DetectionSet
from fuxian.papers.sparse_rcnn.boxes import clipped
from fuxian.papers.sparse_rcnn.loss import NOTHING
from fuxian.papers.sparse_rcnn.settings import Crop, Setting
from fuxian.recipe import Batch

Split = Literal["train", "validation", "test"]
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
DIVISIBLE = 32
"""Batches are padded to sides that the pyramid's last map divides."""
LEAST_SIDE = 1e-5
"""Boxes of a shorter side, in pixels after scaling, are not trained on."""
PARTS = {
    "coco": {"train": "train2017", "validation": "val2017", "test": "val2017"},
    "bccd": {"train": "train", "validation": "val", "test": "test"},
}


def load(setting: Setting, split: Split) -> DetectionSet:
    """The pictures of a split. COCO's own test labels are secret: its official validation part is tested on."""
    if setting.data == "coco":
        return coco.load(part=PARTS["coco"][split])
    if setting.data == "bccd":
        return bccd.load(PARTS["bccd"][split])  # type: ignore[arg-type]
    return generated({"train": 0, "validation": 1, "test": 2}[split], setting.network.classes)


def scaled(picture: np.ndarray, short_side: int, longest: int) -> np.ndarray:
    """The picture, uint8 [H, W, 3], with its shorter side at ``short_side``, or its longer one at ``longest``."""
    height, width = picture.shape[:2]
    factor = short_side / min(height, width)
    if factor * max(height, width) > longest:
        factor = longest / max(height, width)
    size = int(width * factor + 0.5), int(height * factor + 0.5)
    return np.asarray(
        Image.fromarray(picture).resize((max(size[0], 1), max(size[1], 1)), Image.Resampling.BILINEAR)
    )


def normalised(picture: np.ndarray) -> np.ndarray:
    """float32 [3, H, W] of uint8 [H, W, 3] RGB, as the network takes it."""
    return np.ascontiguousarray(((picture - MEAN) / DEVIATION).transpose(2, 0, 1).astype(np.float32))


def padded(pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The network's inputs of normalised pictures: float32 [N, 3, H, W], zeros below and right, and sizes [N, 2]."""
    sizes = np.array([picture.shape[1:] for picture in pictures])
    height, width = (-(-sizes.max(0) // DIVISIBLE) * DIVISIBLE).tolist()
    made = np.zeros((len(pictures), 3, height, width), np.float32)
    for row, picture in zip(made, pictures, strict=True):
        row[:, : picture.shape[1], : picture.shape[2]] = picture
    return made, sizes.astype(np.float32)


def filled(rows: Sequence[np.ndarray], value: float) -> np.ndarray:
    """Arrays of different lengths as one [N, M, ...], M at least 1, the rest filled up."""
    most = max(1, *map(len, rows))
    made = np.full((len(rows), most, *rows[0].shape[1:]), value, rows[0].dtype)
    for place, row in zip(made, rows, strict=True):
        place[: len(row)] = row
    return made


def augmented(
    picture: np.ndarray, boxes: np.ndarray, setting: Setting, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A training example: flipped, perhaps cropped, and scaled. Boxes [G, 4] end at the picture's edges."""

    def resized(picture: np.ndarray, boxes: np.ndarray, short_side: int, longest: int) -> tuple:
        made = scaled(picture, short_side, longest)
        factor = np.array(made.shape[1::-1]) / np.array(picture.shape[1::-1])
        return made, boxes * np.tile(factor, 2)

    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    if setting.upside_down and rng.random() < 0.5:
        picture = picture[::-1]
        boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], 1)
    picture = np.ascontiguousarray(picture)
    if setting.crop and rng.random() < 0.5:
        # The official code bounds this scaling by no longest side.
        picture, boxes = resized(picture, boxes, int(rng.choice(setting.crop.short_sides)), 1 << 30)
        picture, boxes = cropped(picture, boxes, setting.crop, rng)
    picture, boxes = resized(picture, boxes, int(rng.choice(setting.short_sides)), setting.longest)
    return picture, clipped(boxes, *picture.shape[:2])


def cropped(
    picture: np.ndarray, boxes: np.ndarray, crop: Crop, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A part of the picture, anywhere, and the boxes within it."""
    sides = np.array(picture.shape[:2])
    cut = [int(rng.integers(min(side, crop.least), min(side, crop.most) + 1)) for side in sides]
    top, left = (int(rng.integers(side - part + 1)) for side, part in zip(sides, cut, strict=True))
    part = picture[top : top + cut[0], left : left + cut[1]]
    return part, clipped(boxes - np.array([left, top, left, top]), *part.shape[:2])


def trained_on(image: AnnotatedImage) -> np.ndarray:
    """Which objects are trained on, bool [G]: crowds are not."""
    return ~image.crowd


@dataclass(frozen=True, eq=False)
class Training(Sequence[Batch]):
    """``length`` batches. Inputs: pictures [N, 3, H, W] and sizes [N, 2], float32; targets: corners [N, M, 4] in
    pixels, float32, classes [N, M], int64, and sizes. Pictures without objects stay."""

    setting: Setting
    length: int
    seed: int
    pictures: DetectionSet

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        made = []
        for place in range(self.setting.batch):
            epoch, turn = divmod(index * self.setting.batch + place, len(self.pictures))
            order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.pictures))
            made.append(self.example(int(order[turn]), rng))
        pictures, sizes = padded([picture for picture, _, _ in made])
        boxes = filled([boxes.astype(np.float32) for _, boxes, _ in made], 0)
        classes = filled([classes for _, _, classes in made], NOTHING)
        return {"inputs": (pictures, sizes), "targets": (boxes, classes, sizes)}

    def example(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = self.pictures.images[row]
        kept = trained_on(image)
        picture, boxes = augmented(self.pictures.picture(row), image.boxes[kept], self.setting, rng)
        large = (boxes[:, 2:] - boxes[:, :2] > LEAST_SIDE).all(1)
        return normalised(picture), boxes[large], image.classes[kept][large]


@dataclass(frozen=True, eq=False)
class Evaluation(Sequence[Batch]):
    """All pictures at the test's scale. Inputs as in training; targets: true corners [N, M, 4], float64, in pixels of
    the picture as it is, classes [N, M], crowd [N, M], areas [N, M], and heights and widths [N, 2] of the pictures as
    they are and as the network sees them."""

    setting: Setting
    pictures: DetectionSet

    def __len__(self) -> int:
        return math.ceil(len(self.pictures) / self.setting.test_batch)

    def __getitem__(self, index):
        rows = range(len(self.pictures))[index * self.setting.test_batch :][: self.setting.test_batch]
        if index < 0 or not rows:
            raise IndexError(index)
        return evaluation_batch(
            [self.pictures.picture(row) for row in rows],
            [self.pictures.images[row] for row in rows],
            self.setting,
        )


def evaluation_batch(
    pictures: Sequence[np.ndarray], images: Sequence[AnnotatedImage], setting: Setting
) -> Batch:
    """What ``Evaluation`` gives for pictures, uint8 [H, W, 3] each, and what is in them."""
    inputs, sizes = padded(
        [normalised(scaled(picture, setting.test_side, setting.longest)) for picture in pictures]
    )
    return {
        "inputs": (inputs, sizes),
        "targets": (
            filled([image.boxes for image in images], 0),
            filled([image.classes for image in images], NOTHING),
            filled([image.crowd for image in images], False),
            filled([image.areas for image in images], 0),
            np.array([picture.shape[:2] for picture in pictures]),
            sizes,
        ),
    }


def generated(seed: int, classes: int, count: int = 4) -> DetectionSet:
    """Coloured rectangles on grey, a colour for each class: for alignment and tests, nobody's pictures.

    The first picture is empty; among the others are a crowd and a box without area.
    """
    rng = np.random.default_rng([2021, seed])
    colours = np.random.default_rng(2021).integers(0, 256, (classes, 3))
    images, pictures = [], {}
    for number in range(count):
        height, width = (int(side) for side in rng.integers(64, 129, 2))
        picture = rng.integers(100, 140, (height, width, 3)).astype(np.uint8)
        low = rng.uniform(0, 0.6, (number, 2))
        corners = np.rint(
            np.concatenate([low, low + rng.uniform(0.1, 0.4, (number, 2))], 1) * ([width, height] * 2)
        )
        kinds = rng.integers(0, classes, number)
        for (x1, y1, x2, y2), kind in zip(corners.astype(int), kinds, strict=True):
            picture[y1:y2, x1:x2] = colours[kind]
        crowd = np.zeros(number, bool)
        if number == 2:
            crowd[0], corners[1, 2:] = True, corners[1, :2]
        name = f"{number}.png"
        areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        images.append(AnnotatedImage(name, corners, kinds, crowd, areas, number))
        pictures[name] = _png(picture)
    names = tuple(f"class {kind}" for kind in range(classes))
    return DetectionSet(names, tuple(range(1, classes + 1)), tuple(images), pictures)


def _png(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()
