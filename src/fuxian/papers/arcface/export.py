"""The trained networks as one that embeds faces, for Paddle Inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fuxian.errors import InputError
from fuxian.papers.arcface.data import as_input
from fuxian.papers.arcface.predict import embeddings, load_embedder
from fuxian.papers.arcface.settings import FOLDS, THRESHOLD
from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput


def export(claim: str, weights: Path) -> ExportedNetwork:
    """Embeddings of length 1; the examples are pictures of noise, for faces are nobody's to publish."""
    if claim != "lfw-folds":
        raise InputError(f"arcface/{claim} has no weights here to export; take arcface/lfw-folds.")
    embedder = load_embedder(weights)
    side, features = FOLDS.network.side, FOLDS.network.features * len(FOLDS.groups)
    examples = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    return ExportedNetwork(
        network=embedder,
        inputs=(
            ExportedInput(
                name="pictures",
                dtype="float32",
                shape=("batch", 3, side, side),
                preprocessing=f"RGB, cut close around the face to a square, averaged down to {side} x {side} pixels,"
                " divided by 127.5, minus 1; channels first",
            ),
        ),
        outputs=(
            ExportedOutput(
                name="embeddings",
                shape=("batch", features),
                meaning="length 1; the inner product of two is their score, the cosine from -1 to 1: one person from"
                f" {THRESHOLD:.3f} on",
            ),
        ),
        examples=(as_input(examples),),
        expected=(embeddings(embedder, examples),),
        about={"threshold": THRESHOLD},
    )
