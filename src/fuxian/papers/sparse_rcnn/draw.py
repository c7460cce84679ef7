"""The test drawn for a ruling: the test pictures in a new order, each flipped, cut and lit anew.

Nobody can make new photographs here. But a network that has the test by heart, or a file of answers, does not fit
pictures that were turned over, whose edges have moved and whose brightness has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fuxian.datasets.detection import AnnotatedImage, DetectionSet
from fuxian.papers.sparse_rcnn import data
from fuxian.papers.sparse_rcnn.boxes import clipped
from fuxian.papers.sparse_rcnn.settings import SETTINGS, Setting
from fuxian.recipe import Batch

PUBLIC_LABELS = tuple(SETTINGS)
MOST_CUT = 0.03
"""The share of a side that is cut off on each end, at most. The drawn test must be as hard as the official one: of the
validation pictures the trained network has an AP of 28.7 %, of four draws of them 28.3 to 31.1 %, 29.3 % in the mean
(benchmarks/sparse_rcnn_stages.py WEIGHTS --split validation --draws 4)."""
MOST_LIGHT = 0.05
LEAST_KEPT = 0.5
"""Of an object's box that the cut reaches; of one of which less is left, nothing is asked (it counts as a crowd)."""


def draw(claim: str, seed: int) -> Iterator[Batch]:
    """Batches as ``eval_data`` gives them, and ``ids``."""
    setting = SETTINGS[claim]
    return drawn(setting, data.load(setting, "test"), seed)


def drawn(setting: Setting, test: DetectionSet, seed: int) -> Iterator[Batch]:
    """The drawn test of a set of pictures."""
    order = np.random.default_rng([seed, 0]).permutation(len(test))
    for first in range(0, len(test), setting.test_batch):
        rows = [int(row) for row in order[first : first + setting.test_batch]]
        made = [changed(test.picture(row), test.images[row], seed, row, setting) for row in rows]
        batch = data.evaluation_batch([picture for picture, _ in made], [image for _, image in made], setting)
        yield batch | {"ids": [f"picture-{first + place:06d}" for place in range(len(rows))]}


def changed(
    picture: np.ndarray, image: AnnotatedImage, seed: int, row: int, setting: Setting
) -> tuple[np.ndarray, AnnotatedImage]:
    """A picture and what is in it, flipped, cut and lit by (seed, row)."""
    rng = np.random.default_rng([seed, 1, row])
    sides = np.array(picture.shape[1::-1])
    corners = image.boxes
    for axis, flips in ((0, True), (1, setting.upside_down)):
        if rng.random() < 0.5 and flips:
            picture = picture[:, ::-1] if axis == 0 else picture[::-1]
            corners = corners.copy()
            corners[:, [axis, axis + 2]] = sides[axis] - corners[:, [axis + 2, axis]]
    low = (rng.uniform(0, MOST_CUT, 2) * sides).astype(int)
    high = sides - (rng.uniform(0, MOST_CUT, 2) * sides).astype(int)
    light = rng.uniform(1 - MOST_LIGHT, 1 + MOST_LIGHT)
    cut = picture[low[1] : high[1], low[0] : high[0]]
    cut = np.clip(cut * light, 0, 255).astype(np.uint8)
    inside = clipped(corners - np.tile(low, 2), *cut.shape[:2])
    before, after = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (corners, inside))
    kept = after >= LEAST_KEPT * before
    share = np.divide(after, before, out=np.ones_like(after), where=before > 0)
    return cut, replace(image, boxes=inside, crowd=image.crowd | ~kept, areas=image.areas * share)
