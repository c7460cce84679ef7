"""PSENet's batches: ICDAR 2015 augmented as the official code does (dataset/psenet/psenet_ic15.py), and rendered text.

Batch ``i`` is made from ``(seed, i)`` alone, so that a resumed run sees the very batches that an uninterrupted one
would. Shape legend: N pictures, K kernels, H and W the picture's height and width, P words of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from fuxian.datasets import icdar2015
from fuxian.datasets.icdar2015 import Icdar2015
from fuxian.datasets.scene_text import Word
from fuxian.papers.psenet import labels
from fuxian.papers.psenet.rendered import render
from fuxian.papers.psenet.settings import Setting
from fuxian.recipe import Batch

Split = Literal["train", "validation", "test"]
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
SCALES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
ASPECTS = (0.9, 0.95, 1.0, 1.05, 1.1)
MOST_ANGLE = 10
MOST_WORDS = 200
OWN_SPLIT_SEED = 2015
OWN_TEST = 100
MOST_SIDE = 4096
"""No picture is scaled to more, however long and narrow it is."""
VALIDATION_SEED = 1_000_000


def normalised(picture: np.ndarray) -> np.ndarray:
    """float32 [3, H, W] of a uint8 RGB picture [H, W, 3], as the network takes it."""
    return np.ascontiguousarray(((picture.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1))


def scaled(picture: np.ndarray, vertical: float, horizontal: float) -> np.ndarray:
    """The picture scaled by two factors, each side then rounded up to a multiple of 32."""
    height, width = (
        int(side * by + 0.5) for side, by in zip(picture.shape, (vertical, horizontal), strict=False)
    )
    return cv2.resize(picture, (-(-width // 32) * 32, -(-height // 32) * 32))


def scaled_to_short_side(picture: np.ndarray, short_side: int) -> np.ndarray:
    """The picture with its shorter side at ``short_side``, sides rounded up to multiples of 32: the test's scaling."""
    factor = min(short_side / min(picture.shape[:2]), MOST_SIDE / max(picture.shape[:2]))
    return scaled(picture, factor, factor)


def augmented(
    picture: np.ndarray,
    polygons: list[np.ndarray],
    readable: list[bool],
    setting: Setting,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A training example: the picture, uint8 [crop, crop, 3], and its labels, uint8 [K + 1, crop, crop].

    Scaled, flipped, turned (nearest pixel), cropped (three times in eight anywhere, else about the text) and padded
    with black; brightness and saturation change last. ``polygons`` are in pixels of ``picture``.
    """
    height, width = picture.shape[:2]
    factor = rng.choice(SCALES) * setting.short_side / min(height, width)
    aspect = math.sqrt(rng.choice(ASPECTS))
    picture = scaled(picture, factor * aspect, factor / aspect)
    to_scaled = np.array([picture.shape[1] / width, picture.shape[0] / height])
    maps = labels.draw(
        [polygon * to_scaled for polygon in polygons[:MOST_WORDS]],
        readable[:MOST_WORDS],
        picture.shape[:2],
        setting.kernels,
        setting.smallest,
    )
    if rng.random() < 0.5:
        picture, maps = np.ascontiguousarray(picture[:, ::-1]), np.ascontiguousarray(maps[:, :, ::-1])
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-MOST_ANGLE, MOST_ANGLE), 1)
    text = cv2.warpAffine(maps[0], turn, (width, height), flags=cv2.INTER_NEAREST)
    top, left = crop_corner(np.asarray(text), setting.crop, rng)
    # Turning and cropping at once: only the crop's pixels are computed. Beyond the picture there is black.
    turn[:, 2] -= left, top
    inside = min(setting.crop, width), min(setting.crop, height)
    below, beside = setting.crop - inside[1], setting.crop - inside[0]

    def cut(layer: np.ndarray) -> np.ndarray:
        made = np.asarray(cv2.warpAffine(layer, turn, inside, flags=cv2.INTER_NEAREST))
        return np.pad(made, ((0, below), (0, beside), (0, 0))[: made.ndim])

    return jittered(cut(picture), rng), np.stack([cut(layer) for layer in maps])


def crop_corner(text: np.ndarray, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a crop, at most ``side`` wide and high, of a text map [H, W]."""
    room = np.maximum(np.array(text.shape) - side, 0)
    low, high = np.zeros(2, int), room
    if rng.random() > 3 / 8 and text.any():
        inside = np.minimum(side, text.shape)
        rows, columns = np.nonzero(text)
        low = np.maximum((rows.min() - inside[0], columns.min() - inside[1]), 0)
        high = np.minimum(np.maximum((rows.max() - inside[0], columns.max() - inside[1]), 0), room)
        low = np.where(low < high, low, 0)
        high = np.where(low < high, high, 0)
    return int(rng.integers(low[0], high[0] + 1)), int(rng.integers(low[1], high[1] + 1))


def jittered(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness within 32 / 255 and saturation within 0.5 of 1, in either order."""
    image = Image.fromarray(picture)
    changes = [(ImageEnhance.Brightness, 32 / 255), (ImageEnhance.Color, 0.5)]
    for place in rng.permutation(2):
        kind, most = changes[place]
        image = kind(image).enhance(float(rng.uniform(1 - most, 1 + most)))
    return np.asarray(image)


def own_split(count: int, split: Split) -> np.ndarray:
    """Rows of the official test part: its own 400 training pictures, or the 100 others, for any other ``split``."""
    order = np.random.default_rng(OWN_SPLIT_SEED).permutation(count)
    return np.sort(order[OWN_TEST:] if split == "train" else order[:OWN_TEST])


@dataclass(frozen=True, eq=False)
class Training(Sequence[Batch]):
    """``length`` batches. Inputs: pictures, float32 [N, 3, H, W]; targets: text [N, H, W], kernels [N, K - 1, H, W]
    and training mask [N, H, W], uint8 of 0 and 1."""

    setting: Setting
    length: int
    seed: int
    pictures: Icdar2015 | None
    """None: all is rendered."""
    rows: np.ndarray

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        made = [self.example(place, index, rng) for place in range(self.setting.batch)]
        maps = np.stack([layers for _, layers in made])
        return {
            "inputs": (np.stack([normalised(picture) for picture, _ in made]),),
            "targets": (maps[:, 0], maps[:, 1:-1], maps[:, -1]),
        }

    def example(self, place: int, batch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        setting = self.setting
        if self.pictures is None or place < round(setting.rendered * setting.batch):
            picture, polygons = render(rng, setting.crop)
            maps = labels.draw(
                polygons, [True] * len(polygons), picture.shape[:2], setting.kernels, setting.smallest
            )
            return picture, maps
        real = setting.batch - round(setting.rendered * setting.batch)
        epoch, turn = divmod(batch * real + place - (setting.batch - real), len(self.rows))
        row = self.rows[np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.rows))[turn]]
        words = self.pictures.words[row]
        return augmented(
            self.pictures.picture(row),
            [word.polygon for word in words],
            [word.trained_on for word in words],
            setting,
            rng,
        )


@dataclass(frozen=True, eq=False)
class Evaluation(Sequence[Batch]):
    """Whole pictures, one to a batch. Inputs: the picture at the test's scale, float32 [1, 3, H, W]; targets: its own
    height and width, int64 [1, 2], the words' quadrilaterals, float64 [P, 4, 2], and which are ignored, bool [P]."""

    setting: Setting
    pictures: Icdar2015
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return evaluation_batch(self.pictures.picture(row), self.pictures.words[row], self.setting)


def evaluation_batch(picture: np.ndarray, words: Sequence[Word], setting: Setting) -> Batch:
    """What ``Evaluation`` gives for one picture, uint8 [H, W, 3]."""
    return {
        "inputs": (normalised(scaled_to_short_side(picture, setting.short_side))[None],),
        "targets": (
            np.array([picture.shape[:2]]),
            np.array([word.polygon for word in words]).reshape(-1, 4, 2),
            np.array([word.ignored for word in words], bool),
        ),
    }


@dataclass(frozen=True, eq=False)
class RenderedEvaluation(Sequence[Batch]):
    """``Evaluation`` on rendered pictures of ``side`` pixels, from a seed of their own."""

    side: int
    length: int
    seed: int = VALIDATION_SEED

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        picture, polygons = render(np.random.default_rng([self.seed, index]), self.side)
        return {
            "inputs": (normalised(picture)[None],),
            "targets": (
                np.array([picture.shape[:2]]),
                np.array(polygons).reshape(-1, 4, 2),
                np.zeros(len(polygons), bool),
            ),
        }


def training(setting: Setting, *, length: int, seed: int) -> Training:
    """Raises InputError where the data set is not there."""
    if setting.rendered == 1:
        return Training(setting, length, seed, None, np.zeros(0, int))
    pictures = icdar2015.load("test" if setting.split == "own" else "train")
    rows = own_split(len(pictures), "train") if setting.split == "own" else np.arange(len(pictures))
    return Training(setting, length, seed, pictures, rows)


def evaluation(setting: Setting, split: Split) -> Evaluation | RenderedEvaluation:
    """The test pictures; for the validation of a running training 20 rendered ones, so that no test picture is looked
    at before the end. Raises InputError where the data set is not there."""
    if split == "validation" or setting.rendered == 1:
        return RenderedEvaluation(setting.crop, 20 if setting.crop > 64 else 2)
    pictures = icdar2015.load("test")
    rows = own_split(len(pictures), "test") if setting.split == "own" else np.arange(len(pictures))
    return Evaluation(setting, pictures, rows)
