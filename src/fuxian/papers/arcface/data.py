"""Training batches and verification pairs of LFW, pure functions of (seed, iteration).

People of an evaluated fold are never in the training of the network that is tested on it, and the people of the
validation pairs (those with several pictures who are in no fold) in no training at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np

from fuxian.datasets import lfw
from fuxian.datasets.lfw import Face, Lfw, Pair
from fuxian.papers.arcface.settings import FoldSetting
from fuxian.recipe import Batch

Split = Literal["validation", "test"]
PAIRS_AT_ONCE = 100
VALIDATION_PAIRS = 30
"""Of each kind in each of ten folds."""
MOST_OF_ONE = 20


@dataclass(frozen=True)
class Faces:
    """LFW with what the experiment makes of it: pictures of a network's side, and who trains which network."""

    data: Lfw
    pictures: dict[str, list[int]]
    """Where each person's pictures are."""
    validation: list[str]
    """People with two pictures or more in no fold."""

    def people(self, folds: Sequence[int]) -> set[str]:
        """Who is in the pairs of these folds."""
        pairs = [pair for pair in self.data.pairs if pair.fold in folds]
        return {person for pair in pairs for person, _ in (pair.first, pair.second)}

    def training(self, folds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Pictures int64 [N] and classes int64 [N] that train the network for ``folds``.

        Everyone else with two pictures or more: a class of one picture teaches no likeness.
        """
        left_out = self.people(folds) | set(self.validation)
        names = [name for name, own in sorted(self.pictures.items()) if name not in left_out and len(own) > 1]
        places = [self.pictures[name] for name in names]
        classes = np.repeat(np.arange(len(names)), [len(own) for own in places])
        return np.concatenate(places).astype(np.int64), classes.astype(np.int64)

    def classes(self, setting: FoldSetting) -> list[int]:
        """How many people each network is trained on."""
        return [int(self.training(folds)[1].max()) + 1 for folds in setting.groups]


def faces(setting: FoldSetting) -> Faces:
    """LFW at the setting's side, or generated faces."""
    side = setting.network.side
    data = _generated(setting.generated, side) if setting.generated else _read(side)
    pictures = lfw.by_person(data.faces)
    in_folds = {person for pair in data.pairs for person, _ in (pair.first, pair.second)}
    free = sorted(name for name, own in pictures.items() if len(own) > 1 and name not in in_folds)
    return Faces(data, pictures, free)


@lru_cache(maxsize=2)
def _read(side: int) -> Lfw:
    return lfw.load(side=side)


def _generated(people: int, side: int) -> Lfw:
    """``people`` with three pictures each, smooth noise of their own, and two folds of pairs among the first half."""
    rng = np.random.default_rng(7)
    own = rng.uniform(40, 215, (people, 1, 4, 4, 3))
    coarse = np.clip(own + rng.normal(0, 25, (people, 3, 4, 4, 3)), 0, 255).astype(np.uint8)
    images = coarse.repeat(side // 4, axis=2).repeat(side // 4, axis=3).reshape(people * 3, side, side, 3)
    names = [f"person_{number:04d}" for number in range(people)]
    shown = [(name, number) for name in names for number in (1, 2, 3)]
    in_folds = names[: people // 2]
    pairs = []
    for fold, members in enumerate((in_folds[::2], in_folds[1::2])):
        pairs += [Pair((name, 1), (name, 2), True, fold) for name in members]
        others = [*members[1:], members[0]]
        pairs += [Pair((a, 1), (b, 3), False, fold) for a, b in zip(members, others, strict=True)]
    return Lfw(images, shown, pairs)


def as_input(images: np.ndarray) -> np.ndarray:
    """float32 [N, 3, side, side] in [-1, 1] of uint8 [N, side, side, 3]: (x / 255 - 0.5) / 0.5, as officially."""
    return np.ascontiguousarray((images.astype(np.float32) / 127.5 - 1.0).transpose(0, 3, 1, 2))


class TrainBatches(Sequence[Batch]):
    """``length`` batches: for each network its pictures [B, 3, side, side], half of them mirrored, and classes [B]."""

    def __init__(self, known: Faces, setting: FoldSetting, length: int, seed: int):
        self.images, self.setting, self.length, self.seed = known.data.images, setting, length, seed
        self.parts = [known.training(folds) for folds in setting.groups]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:  # type: ignore[override]
        if not 0 <= step < self.length:
            raise IndexError(step)
        drawn = [self._drawn(number, step) for number in range(len(self.parts))]
        return {
            "inputs": tuple(as_input(pictures) for pictures, _ in drawn),
            "targets": tuple(classes for _, classes in drawn),
        }

    def _drawn(self, number: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        places, classes = self.parts[number]
        steps = max(1, len(places) // self.setting.batch)
        epoch, within = divmod(step, steps)
        order = np.random.default_rng((self.seed, number, epoch)).permutation(len(places))
        chosen = order[within * self.setting.batch : (within + 1) * self.setting.batch]
        pictures = self.images[places[chosen]]
        mirrored = np.random.default_rng((self.seed, number, epoch, within)).random(len(chosen)) < 0.5
        return np.where(mirrored[:, None, None, None], pictures[:, :, ::-1], pictures), classes[chosen]


class PairBatches(Sequence[Batch]):
    """Verification pairs: pictures [P, 3, side, side] twice, and the number of the network that judges them.

    Targets: same [P] int64, fold [P] int64. All pairs of a batch are of one network.
    """

    def __init__(self, known: Faces, pairs: Sequence[Pair], setting: FoldSetting):
        self.images = known.data.images
        self.place = {face: index for index, face in enumerate(known.data.faces)}
        network = {fold: number for number, folds in enumerate(setting.groups) for fold in folds}
        self.batches: list[tuple[int, list[Pair]]] = []
        for number in range(len(setting.groups)):
            own = [pair for pair in pairs if network[pair.fold] == number]
            self.batches += [
                (number, own[at : at + PAIRS_AT_ONCE]) for at in range(0, len(own), PAIRS_AT_ONCE)
            ]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:  # type: ignore[override]
        number, pairs = self.batches[index]

        def pictures(of: list[Face]) -> np.ndarray:
            return as_input(self.images[[self.place[face] for face in of]])

        return {
            "inputs": (
                pictures([pair.first for pair in pairs]),
                pictures([pair.second for pair in pairs]),
                np.full(len(pairs), number, np.int64),
            ),
            "targets": (
                np.array([pair.same for pair in pairs], np.int64),
                np.array([pair.fold for pair in pairs], np.int64),
            ),
        }


def eval_pairs(known: Faces, split: Split, setting: FoldSetting) -> list[Pair]:
    """The official pairs of view 2, or those of the validation people in as many folds."""
    if split == "test":
        return known.data.pairs
    folds = sorted(fold for group in setting.groups for fold in group)
    rng = np.random.default_rng(11)
    return [
        pair for fold in folds for pair in drawn_pairs(known, known.validation, fold, VALIDATION_PAIRS, rng)
    ]


def drawn_pairs(
    known: Faces, people: Sequence[str], fold: int, each: int, rng: np.random.Generator
) -> list[Pair]:
    """``each`` matched and ``each`` mismatched pairs of these people, mixed, no matched pair twice.

    One person gives ``MOST_OF_ONE`` matched pairs at most, or a famous face would be most of a fold. Where that is not
    enough, pairs come again.
    """
    shown = known.data.faces
    matched: list[tuple[int, int]] = []
    for name in people:
        both = list(combinations(known.pictures[name], 2))
        chosen = rng.permutation(len(both))[:MOST_OF_ONE]
        matched += [both[place] for place in chosen]
    taken = rng.choice(len(matched), each, replace=len(matched) < each)
    pairs = [Pair(shown[matched[place][0]], shown[matched[place][1]], True, fold) for place in taken]
    for _ in range(each):
        names = rng.choice(len(people), 2, replace=False)
        first, second = (shown[rng.choice(known.pictures[people[name]])] for name in names)
        pairs.append(Pair(first, second, False, fold))
    return [pairs[place] for place in rng.permutation(len(pairs))]
