"""The drawn test of a ruling: new pairs of the same people, fold by fold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fuxian.papers.arcface.data import PairBatches, drawn_pairs, faces
from fuxian.papers.arcface.settings import FOLDS, FoldSetting
from fuxian.recipe import Batch

PAIRS = 1000
"""Of each kind in each fold. The official test's 300 leave as much uncertain as the margin; the people stay."""
PUBLIC_LABELS = ("lfw-folds",)


def draw(claim: str, seed: int) -> Iterator[Batch]:
    """Matched and mismatched pairs of each fold's people, mixed; an id for each pair."""
    return drawn(FOLDS, PAIRS, seed)


def drawn(setting: FoldSetting, each: int, seed: int) -> Iterator[Batch]:
    """The pairs of a setting, ``each`` of either kind in a fold."""
    known = faces(setting)
    rng = np.random.default_rng(seed)
    folds = sorted(fold for group in setting.groups for fold in group)
    pairs = [
        pair for fold in folds for pair in drawn_pairs(known, sorted(known.people((fold,))), fold, each, rng)
    ]
    for number, batch in enumerate(PairBatches(known, pairs, setting)):
        count = len(batch["targets"][0])
        yield {**batch, "ids": [f"{number:03d}-{place:03d}" for place in range(count)]}
