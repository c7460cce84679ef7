"""Rendered text: words in the fonts that matplotlib brings, turned, coloured, on uneven ground. Nobody's pictures."""

from __future__ import annotations

import string
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = tuple(
    f"DejaVu{kind}.ttf"
    for kind in ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Bold", "Serif-Italic")
)
LETTERS = string.ascii_letters + string.digits
SIZES = (9, 34)
"""Pixels of a font's em."""
MOST_TRIES = 50
GAP = 3
"""Pixels at least between two words."""


@lru_cache(maxsize=256)
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def ground(rng: np.random.Generator, side: int) -> np.ndarray:
    """uint8 [side, side, 3]: two scales of coloured noise, a few straight-edged shapes, and grain."""
    picture = np.zeros((side, side, 3), np.float32)
    for cells, share in ((int(rng.integers(1, 5)), 0.8), (int(rng.integers(8, 40)), 0.2)):
        noise = rng.integers(0, 256, (cells, cells, 3)).astype(np.float32)
        picture += share * cv2.resize(noise, (side, side), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 8))):
        corners = rng.integers(-side // 4, side + side // 4, (int(rng.integers(2, 5)), 2)).astype(np.int32)
        colour = tuple(map(int, rng.integers(0, 256, 3)))
        if rng.random() < 0.5:
            cv2.fillPoly(picture, [corners], colour)
        else:
            cv2.polylines(picture, [corners], False, colour, int(rng.integers(1, 4)))
    picture += rng.normal(0, rng.uniform(0, 12), picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def render(rng: np.random.Generator, side: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture, uint8 [side, side, 3] RGB, and the quadrilateral of each of its words, float64 [4, 2].

    Words never overlap. They are drawn in one colour each, turned by up to 15 degrees, some of them blurred.
    """
    picture = ground(rng, side)
    taken = np.zeros((side, side), np.uint8)
    polygons: list[np.ndarray] = []
    wanted = int(rng.integers(3, 16))
    for _ in range(MOST_TRIES):
        if len(polygons) == wanted:
            break
        letters = "".join(rng.choice(list(LETTERS), int(rng.integers(2, 10))))
        face = font(FONTS[int(rng.integers(len(FONTS)))], int(rng.integers(*SIZES)))
        left, top, right, bottom = map(int, face.getbbox(letters))
        centre = rng.uniform(0, side, 2)
        angle = np.radians(rng.normal(0, 5) if rng.random() < 0.8 else rng.uniform(-15, 15))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        half = np.array([right - left, bottom - top]) / 2
        corners = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        polygon = corners @ turn.T + centre
        if polygon.min() < 1 or polygon.max() > side - 2:
            continue
        outline = np.zeros_like(taken)
        cv2.fillPoly(outline, [polygon.round().astype(np.int32)], 1)
        if taken[cv2.dilate(outline, np.ones((2 * GAP + 1,) * 2, np.uint8)) > 0].any():
            continue
        taken |= outline
        mask = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(mask).text((-left, -top), letters, fill=255, font=face)
        placed = np.concatenate([turn, (centre - turn @ half)[:, None]], axis=1)
        alpha = cv2.warpAffine(np.asarray(mask), placed, (side, side), flags=cv2.INTER_LINEAR)
        if rng.random() < 0.3:
            alpha = cv2.GaussianBlur(alpha, (3, 3), 0)
        opacity = float(rng.uniform(0.7, 1))
        under = picture[outline > 0].mean()
        colour = rng.integers(0, 256, 3)
        if abs(colour.mean() - under) < 50:
            colour = (colour + 128) % 256
        rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
        if len(rows):
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            share = alpha[window][..., None] * np.float32(opacity / 255)
            picture[window] = picture[window] * (1 - share) + colour * share
        polygons.append(polygon)
    return picture, polygons
