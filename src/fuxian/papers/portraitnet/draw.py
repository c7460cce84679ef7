"""The test drawn for a ruling: the test pictures in a new order, each cut, mirrored and lit anew.

Nobody can photograph new people here. But a network that has the test by heart, or a file of answers, does not fit
pictures whose edges have moved and whose light has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fuxian.papers.portraitnet import data
from fuxian.papers.portraitnet.settings import SETTINGS
from fuxian.recipe import Batch

PUBLIC_LABELS = ("portraits", "eg1800", "supervise-portrait")
MOST_CUT = 0.06
"""The share of a side that is cut off on each end, at most."""
MOST_LIGHT = 0.15
AT_ONCE = 16


def draw(claim: str, seed: int) -> Iterator[Batch]:
    """Batches as ``eval_data`` gives them, and ``ids``."""
    setting = SETTINGS[claim]
    return drawn(data.examples_of(setting.data, "test"), setting.side, seed)


def drawn(examples: Sequence[data.Example], side: int, seed: int) -> Iterator[Batch]:
    """The drawn test of some examples."""
    order = np.random.default_rng([seed, 0]).permutation(len(examples))
    for at in range(0, len(order), AT_ONCE):
        rows = order[at : at + AT_ONCE]
        changed = [renewed(examples[int(row)], np.random.default_rng([seed, 1, int(row)])) for row in rows]
        batch = data.test_batch(changed, side)
        yield batch | {"ids": [f"picture-{number}" for number in range(at, at + len(rows))]}


def renewed(example: data.Example, rng: np.random.Generator) -> data.Example:
    """The picture and its mask, cut at its sides and mirrored half of the times, in other light."""
    picture, mask = example
    size = np.array(mask.shape)
    low = (rng.uniform(0, MOST_CUT, 2) * size).astype(int)
    high = size - (rng.uniform(0, MOST_CUT, 2) * size).astype(int)
    picture, mask = (one[low[0] : high[0], low[1] : high[1]] for one in (picture, mask))
    light = rng.uniform(1 - MOST_LIGHT, 1 + MOST_LIGHT)
    if rng.random() < 0.5:
        picture, mask = picture[:, ::-1], mask[:, ::-1]
    return np.clip(picture * light, 0, 255).astype(np.uint8), mask
