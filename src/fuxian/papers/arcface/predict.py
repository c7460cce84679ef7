"""Compares faces: two pictures are one person or not, a folder falls into clusters of people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import paddle
from paddle import Tensor, nn
from PIL import Image, ImageDraw
from scipy.cluster.hierarchy import fcluster, linkage

from fuxian.errors import InputError
from fuxian.papers.arcface.data import as_input
from fuxian.papers.arcface.model import IResNet
from fuxian.papers.arcface.recipe import embed
from fuxian.papers.arcface.settings import FOLDS, THRESHOLD
from fuxian.papers.contract import Prediction
from fuxian.papers.user_files import listed_pictures, read_picture
from fuxian.weights import load_tensors

PATH = """
A folder of pictures, each cut close around one face (the middle square is taken). Two pictures: are they one person?
More: which are of one person?
"""
MOST_PICTURES = 500
THUMBNAIL = 96
AT_ONCE = 64


class Embedder(nn.Layer):
    """The networks of all folds together: the inner product of two pictures' embeddings is the mean of their cosines.

    ``forward(pictures [B, 3, side, side])`` gives [B, networks * E], of length 1.
    """

    def __init__(self, networks: int):
        super().__init__()
        self.networks = nn.LayerList([IResNet(FOLDS.network) for _ in range(networks)])

    def forward(self, pictures: Tensor) -> Tensor:
        return paddle.concat([embed(one, pictures) for one in self.networks], 1) / len(self.networks) ** 0.5


def load_embedder(weights: Path) -> Embedder:
    """The trained networks without their heads. Raises InputError for weights of something else."""
    stored = load_tensors(weights)
    embedder = Embedder(len(FOLDS.groups))
    state = embedder.state_dict()
    for name, parameter in state.items():
        number, _, rest = name.removeprefix("networks.").partition(".")
        given = stored.get(f"groups.{number}.backbone.{rest}")
        if given is None or list(given.shape) != list(parameter.shape):
            raise InputError(
                f"{weights} does not hold {name} in its shape; give weights of arcface/lfw-folds."
            )
        parameter.set_value(given.astype(np.float32))
    embedder.eval()
    return embedder


def embeddings(embedder: Embedder, images: np.ndarray) -> np.ndarray:
    """float32 [N, D], of length 1, of uint8 [N, side, side, 3]."""
    with paddle.no_grad():
        parts = [
            embedder(paddle.to_tensor(as_input(images[at : at + AT_ONCE]))).numpy()
            for at in range(0, len(images), AT_ONCE)
        ]
    return np.concatenate(parts)


def predict(
    claim: str,
    path: Path,
    weights: Path,
    out: Path,
    *,
    threshold: Annotated[
        float, "Least score (cosine, -1 to 1) at which two faces are called one person."
    ] = THRESHOLD,
) -> Prediction:
    """Scores the pictures of a folder and draws them: two side by side, more as a contact sheet, a row a person."""
    if claim != "lfw-folds":
        raise InputError(f"arcface/{claim} has no weights here to predict with; take arcface/lfw-folds.")
    files = listed_pictures(path)
    if not 2 <= len(files) <= MOST_PICTURES:
        raise InputError(f"{path} holds {len(files)} pictures; give 2 to {MOST_PICTURES}.")
    pictures = [_square(read_picture(file)) for file in files]
    side = FOLDS.network.side
    images = np.stack([_shrunk(picture, side) for picture in pictures])
    unit = embeddings(load_embedder(weights), images)
    scores = np.clip(unit @ unit.T, -1.0, 1.0)
    names = [file.name for file in files]
    if len(files) == 2:
        score = float(scores[0, 1])
        row = {"first": names[0], "second": names[1], "score": score, "same": score >= threshold}
        verdict = f"{'same' if row['same'] else 'different'}: {score:.3f}, threshold {threshold:.3f}"
        view = _sheet([pictures], [verdict], out / "pair.png")
        return Prediction(rows=[row], views=[view], about={"threshold": threshold})
    clusters = cluster(scores, threshold)
    np.fill_diagonal(scores, -np.inf)
    nearest = scores.argmax(1)
    rows = [
        {
            "picture": name,
            "person": int(clusters[at]),
            "nearest": names[nearest[at]],
            "score": float(scores[at, nearest[at]]),
        }
        for at, name in enumerate(names)
    ]
    members = [np.flatnonzero(clusters == number) for number in range(1, clusters.max() + 1)]
    view = _sheet(
        [[pictures[at] for at in own] for own in members],
        [f"person {number}: {len(own)}" for number, own in enumerate(members, 1)],
        out / "people.png",
    )
    return Prediction(rows=rows, views=[view], about={"threshold": threshold, "people": len(members)})


def cluster(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers of people [N], 1 the largest, of scores [N, N]: average linkage up to a mean score of ``threshold``."""
    apart = 1.0 - scores[np.triu_indices(len(scores), 1)]
    found = fcluster(linkage(np.maximum(apart, 0.0), "average"), 1.0 - threshold, "distance")
    numbers, sizes = np.unique(found, return_counts=True)
    order = numbers[np.argsort(-sizes, kind="stable")]
    place = {number: new for new, number in enumerate(order.tolist(), 1)}
    return np.array([place[number] for number in found.tolist()])


def _square(picture: Image.Image) -> Image.Image:
    """The middle square, RGB."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.convert("RGB").crop((left, top, left + side, top + side))


def _shrunk(picture: Image.Image, side: int) -> np.ndarray:
    smaller = picture.width >= side
    resized = picture.resize((side, side), Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
    return np.asarray(resized)


def _sheet(rows: list[list[Image.Image]], captions: list[str], file: Path) -> Path:
    """A contact sheet, each row under its caption; long rows are broken."""
    across, line = 10, 16
    heights = [line + THUMBNAIL * -(-len(row) // across) for row in rows]
    width = THUMBNAIL * max(3, min(across, max(map(len, rows))))
    sheet = Image.new("RGB", (width, sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    top = 0
    for row, caption, height in zip(rows, captions, heights, strict=True):
        pen.text((2, top + 2), caption, fill="black")
        for place, picture in enumerate(row):
            down, right = divmod(place, across)
            thumbnail = picture.resize((THUMBNAIL - 2, THUMBNAIL - 2), Image.Resampling.BICUBIC)
            sheet.paste(thumbnail, (right * THUMBNAIL, top + line + down * THUMBNAIL))
        top += height
    sheet.save(file)
    return file
