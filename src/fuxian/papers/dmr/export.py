"""The trained network for Paddle Inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from paddle import Tensor, nn
from paddle.nn import functional as F

from fuxian.errors import InputError
from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput
from fuxian.papers.dmr.data import MadeUpBatches
from fuxian.papers.dmr.model import DMR
from fuxian.papers.dmr.predict import load_model, scores
from fuxian.papers.dmr.settings import MOVIES, Setting


class Scorer(nn.Layer):
    """The probability of a click and the two relevances, without what only training takes."""

    def __init__(self, model: DMR):
        super().__init__()
        self.model = model

    def forward(
        self, history: Tensor, mask: Tensor, user: Tensor, target: Tensor, numbers: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = self.model(history, mask, mask[:, -2], user, target, numbers)
        return F.sigmoid(found["click"]), found["u2i"], found["i2i"]


def export(claim: str, weights: Path) -> ExportedNetwork:
    """Scores of user and movie; the examples are made up, for MovieLens is not ours to publish."""
    if claim != "movielens":
        raise InputError(f"dmr/{claim} has no weights here to export; take dmr/movielens.")
    layout = MOVIES.layout
    model = load_model(weights)
    made = MadeUpBatches(Setting(layout, batch=8), length=1)[0]["inputs"]
    found = scores(model, made)
    genders, ages = "gender (0 F, 1 M)", "age group (below 18, 25, 35, 45, 50, 56, above)"
    return ExportedNetwork(
        network=Scorer(model),
        inputs=(
            ExportedInput(
                name="history",
                dtype="int64",
                shape=("batch", layout.steps, 3),
                preprocessing=f"the last {layout.steps} ratings, the newest last: stars (1 to 5), movie (MovieLens"
                " 100k's number), its combination of genres (1 on, sorted); zeros before the first",
            ),
            ExportedInput(
                name="mask",
                dtype="int64",
                shape=("batch", layout.steps),
                preprocessing="1 where there is a rating, 0 before the first",
            ),
            ExportedInput(
                name="user",
                dtype="int64",
                shape=("batch", 3),
                preprocessing=f"{genders}, {ages}, occupation (sorted by name)",
            ),
            ExportedInput(
                name="target",
                dtype="int64",
                shape=("batch", 2),
                preprocessing="the movie to score and its combination of genres, as in the history",
            ),
            ExportedInput(
                name="numbers",
                dtype="float32",
                shape=("batch", 1),
                preprocessing="the movie's year, less 1990, divided by 10",
            ),
        ),
        outputs=(
            ExportedOutput(
                name="score",
                shape=("batch",),
                meaning="probability that the user takes this movie and not one drawn by popularity",
            ),
            ExportedOutput(name="u2i", shape=("batch",), meaning="user-to-item relevance, any number"),
            ExportedOutput(name="i2i", shape=("batch",), meaning="item-to-item relevance, any number"),
        ),
        examples=tuple(np.ascontiguousarray(made[place]) for place in (0, 1, 3, 4, 5)),
        expected=(found["score"], found["u2i"], found["i2i"]),
    )
