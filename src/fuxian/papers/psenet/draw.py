"""The test drawn for a ruling: the test pictures in a new order, each cut and lit anew.

Nobody can make new photographs here. But a network that has the test by heart, or a file of answers, does not fit
pictures whose edges have moved and whose brightness has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fuxian.datasets.scene_text import UNREADABLE
from fuxian.papers.psenet import data
from fuxian.papers.psenet.settings import SETTINGS
from fuxian.recipe import Batch

PUBLIC_LABELS = ("ic15-r50", "ic15-own-split")
MOST_CUT = 0.06
"""The share of a side that is cut off on each end, at most."""
MOST_LIGHT = 0.15


def draw(claim: str, seed: int) -> Iterator[Batch]:
    """Batches as ``eval_data`` gives them, and ``ids``. Words that the cut reaches are to be ignored."""
    setting = SETTINGS[claim]
    test = data.evaluation(setting, "test")
    assert isinstance(test, data.Evaluation)  # noqa: S101
    order = np.random.default_rng([seed, 0]).permutation(len(test))
    for number, place in enumerate(order):
        rng = np.random.default_rng([seed, 1, int(place)])
        row = test.rows[place]
        picture = test.pictures.picture(row)
        height, width = picture.shape[:2]
        low = (rng.uniform(0, MOST_CUT, 2) * (width, height)).astype(int)
        high = np.array([width, height]) - (rng.uniform(0, MOST_CUT, 2) * (width, height)).astype(int)
        light = rng.uniform(1 - MOST_LIGHT, 1 + MOST_LIGHT)
        cut = picture[low[1] : high[1], low[0] : high[0]]
        cut = np.clip(cut * light, 0, 255).astype(np.uint8)
        words = []
        for word in test.pictures.words[row]:
            inside = ((word.polygon >= low) & (word.polygon < high)).all()
            words.append(replace(word, polygon=word.polygon - low, text=word.text if inside else UNREADABLE))
        batch = data.evaluation_batch(cut, words, setting)
        yield batch | {"ids": [f"picture-{number}"]}
