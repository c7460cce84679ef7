"""Generated portraits: a head on shoulders before a patterned wall, with its exact mask. Nobody's face.

python -m fuxian.papers.portraitnet.rendered FOLDER    # writes some, to try `fuxian predict` on
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

FINE = 4
"""Drawn at this many times the size, so that edges are smooth."""


def render(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 [side, side, 3] RGB, and its mask, uint8 [side, side], 1 for the person."""
    large = side * FINE
    wall = cv2.resize(
        rng.integers(30, 226, (rng.integers(2, 7), rng.integers(2, 7), 3)).astype(np.uint8),
        (large, large),
        interpolation=cv2.INTER_CUBIC,
    )
    mask = np.zeros((large, large), np.uint8)
    picture = wall.copy()
    centre = rng.uniform(0.4, 0.6) * large
    head, width = rng.uniform(0.14, 0.2) * large, rng.uniform(0.26, 0.4) * large
    top = rng.uniform(0.3, 0.42) * large
    chin = top + 1.2 * head
    skin, hair, shirt = (
        tuple(map(int, rng.integers(low, high, 3)))
        for low, high in (((150, 100, 80), (240, 200, 180)), (20, 110), (20, 236))
    )
    shapes = (
        ((centre, large + 0.1 * large), (width, large + 0.1 * large - chin - 0.2 * head), shirt),
        ((centre, chin), (0.45 * head, 0.6 * head), skin),
        ((centre, top - 0.25 * head), (1.1 * head, 1.15 * head), hair),
        ((centre, top), (0.9 * head, 1.2 * head), skin),
    )
    for middle, axes, colour in shapes:
        ellipse = (tuple(map(int, middle)), tuple(map(int, axes)), 0, 0, 360)
        cv2.ellipse(picture, *ellipse, colour, -1)
        cv2.ellipse(mask, *ellipse, 1, -1)
    for eye in (-0.35, 0.35):
        cv2.circle(
            picture, (int(centre + eye * head), int(top - 0.1 * head)), int(0.08 * head), (30, 30, 30), -1
        )
    left, right = rng.uniform(0.75, 1.15, 2).tolist()
    light = np.linspace(left, right, large)[None, :, None]
    picture = np.clip(picture * light + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    covered = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small), (np.asarray(covered) >= 0.5).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes generated portraits into a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--side", type=int, default=224)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(asked.count):
        picture, _ = render(np.random.default_rng(seed), asked.side)
        cv2.imwrite(str(asked.folder / f"portrait-{seed}.png"), picture[..., ::-1])


if __name__ == "__main__":
    main()
