"""MAML's tasks: sinusoids (paper, section 5.1) and Omniglot episodes (section 5.2).

Both streams make meta-batch ``i`` from ``(seed, i)`` alone, so that a resumed run sees the very batches that an
uninterrupted one would. Shape legend: T tasks, B examples of a task, N classes, K shots.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fuxian.datasets import omniglot
from fuxian.recipe import Batch

Split = Literal["train", "validation", "test"]

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, np.pi)
INPUT = (-5.0, 5.0)

TRAIN_CHARACTERS = 1100
VALIDATION_CHARACTERS = 100


@dataclass(frozen=True)
class SinusoidTasks(Sequence[Batch]):
    """Meta-batches of regression tasks y = a sin(x - p).

    Amplitude a in [0.1, 5.0], phase p in [0, pi] and x in [-5, 5], all uniform. A batch's inputs are support x,
    support y and query x, its targets query y, all float32 [T, K, 1].
    """

    length: int
    tasks: int = 25
    shots: int = 10
    query: int = 10
    seed: int = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        amplitude = rng.uniform(*AMPLITUDE, (self.tasks, 1, 1))
        phase = rng.uniform(*PHASE, (self.tasks, 1, 1))
        x = rng.uniform(*INPUT, (self.tasks, self.shots + self.query, 1))
        y = amplitude * np.sin(x - phase)
        x, y = x.astype(np.float32), y.astype(np.float32)
        k = self.shots
        return {"inputs": (x[:, :k], y[:, :k], x[:, k:]), "targets": (y[:, k:],)}


def split_characters(names: list[str], split: Split) -> np.ndarray:
    """Rows of ``names`` in a split: 1,100 characters train, 100 validate, the other 423 test.

    The official code shuffles the folders with seed 1 in the order that the file system lists them, which differs
    from machine to machine; here the sorted names are shuffled with seed 1.
    """
    order = sorted(range(len(names)), key=names.__getitem__)
    random.Random(1).shuffle(order)
    end = TRAIN_CHARACTERS + VALIDATION_CHARACTERS
    parts = {
        "train": order[:TRAIN_CHARACTERS],
        "validation": order[TRAIN_CHARACTERS:end],
        "test": order[end:],
    }
    return np.array(parts[split])


@dataclass(frozen=True)
class OmniglotEpisodes(Sequence[Batch]):
    """Meta-batches of N-way K-shot tasks over the characters of one split.

    Each task draws N characters without replacement and 2 K of the 20 drawings of each: K support, K query. Every
    character of a task is turned by its own random multiple of 90 degrees, in the test split too, as in the
    official ``make_data_tensor``. Pictures are float32 in [0, 1] with ink 1. A batch's inputs are support pictures
    [T, N K, 28, 28], one-hot support labels [T, N K, N] and query pictures [T, N K, 28, 28]; its targets are
    one-hot query labels [T, N K, N]. Examples are ordered shot by shot.
    """

    images: np.ndarray
    characters: np.ndarray
    length: int
    tasks: int = 32
    ways: int = 5
    shots: int = 1
    seed: int = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index])
        examples = 2 * self.shots
        pictures = np.empty((self.tasks, examples, self.ways, 28, 28), np.float32)
        for task in range(self.tasks):
            characters = rng.choice(self.characters, self.ways, replace=False)
            for way, character in enumerate(characters):
                drawers = rng.choice(self.images.shape[1], examples, replace=False)
                turned = np.rot90(self.images[character, drawers], int(rng.integers(4)), axes=(1, 2))
                pictures[task, :, way] = turned
        pictures /= 255.0
        examples_T = pictures.reshape(self.tasks, -1, 28, 28)
        labels = np.tile(np.eye(self.ways, dtype=np.float32), (self.tasks, self.shots, 1))
        support = self.ways * self.shots
        return {
            "inputs": (examples_T[:, :support], labels, examples_T[:, support:]),
            "targets": (labels.copy(),),
        }


def omniglot_episodes(
    split: Split, *, length: int, tasks: int, ways: int, shots: int, seed: int, generated: bool = False
) -> OmniglotEpisodes:
    """Episodes over the real Omniglot, or over pictures of noise from a seed of their own (``generated``).

    Raises InputError where the data set is not there.
    """
    if generated:
        images = np.random.default_rng(28).integers(0, 2, (2 * ways, 20, 28, 28), dtype=np.uint8) * 255
        characters = np.arange(2 * ways)
    else:
        data = omniglot.load()
        images, characters = data.images, split_characters(data.names, split)
    return OmniglotEpisodes(images, characters, length=length, tasks=tasks, ways=ways, shots=shots, seed=seed)
