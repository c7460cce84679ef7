"""The paper's own data as insightface packs it: ``<root>/<name>/`` with train.rec, train.idx, property, lfw.bin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fuxian.datasets import find_root
from fuxian.datasets.lfw import decode
from fuxian.errors import InputError
from fuxian.papers.arcface.data import PAIRS_AT_ONCE, as_input
from fuxian.papers.arcface.formats import verification_pictures
from fuxian.recipe import Batch

FOLDS = 10


def folder_of(name: str) -> Path:
    """Where a training set lies. Raises InputError where it does not."""
    folder = find_root() / name
    if not (folder / "train.rec").is_file():
        raise InputError(
            f"{folder / 'train.rec'} is not there; put insightface's packing of {name} (train.rec, train.idx, property,"
            " lfw.bin) there: https://github.com/deepinsight/insightface/tree/master/recognition/_datasets_."
        )
    return folder


def classes_of(folder: Path) -> int:
    """The number of people, the first number of the file ``property`` (``classes,112,112``)."""
    try:
        return int((folder / "property").read_text().split(",")[0])
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder / 'property'} does not begin with the number of people; take the whole data set."
        ) from error


class RecordBatches(Sequence[Batch]):
    """``length`` batches of ``batch`` pictures [B, 3, side, side], half of them mirrored, and classes [B].

    A pure function of (seed, step): each epoch has its own order, what is left at its end is dropped.
    """

    def __init__(self, records: Sequence[tuple[bytes, int]], side: int, batch: int, length: int, seed: int):
        if len(records) < batch:
            raise InputError(
                f"{len(records)} pictures are fewer than one batch of {batch}; take the whole data set."
            )
        self.records, self.side, self.batch, self.length, self.seed = records, side, batch, length, seed
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:  # type: ignore[override]
        if not 0 <= step < self.length:
            raise IndexError(step)
        epoch, within = divmod(step, len(self.records) // self.batch)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.records))
        chosen = self._order[1][within * self.batch : (within + 1) * self.batch]
        read = [self.records[int(index)] for index in chosen]
        images = np.stack(
            [decode(data, f"picture {n}", self.side) for n, (data, _) in zip(chosen, read, strict=True)]
        )
        mirrored = np.random.default_rng((self.seed, epoch, within)).random(len(images)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        return {"inputs": (as_input(images),), "targets": (np.array([one for _, one in read], np.int64),)}


class BinBatches(Sequence[Batch]):
    """The pairs of a verification set: two pictures [P, 3, side, side]; targets same [P] and fold [P]."""

    def __init__(self, path: Path, side: int):
        self.images, self.same = verification_pictures(path, side)
        self.fold = np.arange(len(self.same)) * FOLDS // len(self.same)

    def __len__(self) -> int:
        return math.ceil(len(self.same) / PAIRS_AT_ONCE)

    def __getitem__(self, index: int) -> Batch:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        own = slice(index * PAIRS_AT_ONCE, (index + 1) * PAIRS_AT_ONCE)
        both = self.images.reshape(-1, 2, *self.images.shape[1:])[own]
        return {
            "inputs": (as_input(both[:, 0]), as_input(both[:, 1])),
            "targets": (self.same[own].astype(np.int64), self.fold[own].astype(np.int64)),
        }
