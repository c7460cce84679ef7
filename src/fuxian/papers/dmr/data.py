"""Which movie does a user take next? MovieLens 100k as a table of clicks, split by time.

Every rating is a click on its movie. Beside it stands one movie that the user never rated, drawn by how often movies
were rated in the training's time, at the same moment and with the same history: popularity alone tells the two apart
by what has changed since, and what is left is the match of user and movie. The history are the ``steps`` movies that
the user rated last in earlier seconds, each with its rating as the kind of behaviour; a page of movies rated within
one second is no history of itself.

The first 75 % of the ratings train, the next 5 % are for choices, the last 20 % are the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from fuxian.datasets import movielens
from fuxian.datasets.movielens import MovieLens
from fuxian.papers.dmr.sampling import log_uniform, sample
from fuxian.papers.dmr.settings import Field, Layout, Setting
from fuxian.recipe import Batch

Split = Literal["train", "validation", "test"]
PARTS = {"train": (0.0, 0.75), "validation": (0.75, 0.8), "test": (0.8, 1.0)}
AT_ONCE = 512
TEST_SEED = 2020
"""Draws the movies not taken of the public test and of the validation."""


@dataclass(frozen=True)
class Clicks:
    """The ratings as clicks. ``history`` int64 [N, T]: places among the ratings of the earlier ones, -1 for none."""

    data: MovieLens
    genres: np.ndarray
    """The number of each movie's combination of genres, from 1 on [M + 1]; 0 is nobody's."""
    history: np.ndarray
    taken: np.ndarray
    """bool [U + 1, M + 1]: who ever rated what."""
    share: np.ndarray
    """float64 [M + 1]: each movie's share of the training's ratings."""

    def of(self, split: Split) -> np.ndarray:
        """Places of a part's ratings, in the order of time."""
        first, last = (round(part * len(self.data.user)) for part in PARTS[split])
        return np.arange(first, last)

    def others(self, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A movie for each rating [N], by its share in training, that the user never rated."""
        edges = np.cumsum(self.share)
        users = self.data.user[places]
        movies = np.zeros(len(places), np.int64)
        missing = np.arange(len(places))
        while len(missing):
            drawn = np.searchsorted(edges, rng.random(len(missing)) * edges[-1], side="right")
            movies[missing] = drawn
            missing = missing[self.taken[users[missing], drawn]]
        return movies

    def rows(self, places: np.ndarray, movies: np.ndarray) -> tuple[np.ndarray, ...]:
        """The inputs of ``model.Example`` for these ratings' moments and any movies [B]."""
        earlier = self.history[places]
        real = earlier >= 0
        shown = np.where(real, self.data.movie[earlier], 0)
        rating = np.where(real, self.data.rating[earlier], 0)
        return self.assembled(
            np.stack([rating, shown], -1), real, self.data.people[self.data.user[places]], movies
        )

    def assembled(
        self, rated: np.ndarray, real: np.ndarray, people: np.ndarray, movies: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """The inputs for histories int64 [B, T, 2] (rating, movie), real [B, T], people [B, 3] and movies [B]."""
        year = (self.data.year[movies] - 1990) / 10
        return (
            np.concatenate([rated, self.genres[rated[..., 1:]]], -1),
            real.astype(np.int64),
            real[:, -2].astype(np.int64),
            people,
            np.stack([movies, self.genres[movies]], -1),
            year[:, None].astype(np.float32),
        )


def clicks(layout: Layout) -> Clicks:
    """MovieLens 100k, or what is generated for a layout too narrow for it."""
    return _clicks(layout.steps, layout.field(layout.matched).values)


@lru_cache(maxsize=4)
def _clicks(steps: int, movies: int) -> Clicks:
    return made_of(movielens.load() if movies > MOST_GENERATED else generated(movies - 1), steps)


def made_of(data: MovieLens, steps: int) -> Clicks:
    """The clicks of some ratings."""
    _, genres = np.unique(data.genres[1:], axis=0, return_inverse=True)
    history = np.full((len(data.user), steps), -1)
    for user in np.unique(data.user):
        own = np.flatnonzero(data.user == user)
        earlier = np.searchsorted(data.second[own], data.second[own], "left")
        for place, count in zip(own, earlier, strict=True):
            last = own[max(0, count - steps) : count]
            history[place, steps - len(last) :] = last
    taken = np.zeros((len(data.people), len(data.year)), bool)
    taken[data.user, data.movie] = True
    trained = data.movie[: round(PARTS["train"][1] * len(data.movie))]
    share = np.bincount(trained, minlength=len(data.year)) / len(trained)
    return Clicks(data, np.append(0, genres.reshape(-1) + 1), history, taken, share)


MOST_GENERATED = 100


def generated(movies: int, users: int = 12, each: int = 14) -> MovieLens:
    """Ratings of nobody: each user takes movies of one half of the list, mostly."""
    rng = np.random.default_rng(11)
    rows = []
    for user in range(1, users + 1):
        likes = rng.permutation(movies // 2) * 2 + user % 2 + 1
        rows += [
            (user, min(movie, movies), rng.integers(1, 6), rng.integers(0, 10**6)) for movie in likes[:each]
        ]
    user, movie, rating, second = np.array(sorted(rows, key=lambda row: row[3]), np.int64).T
    return MovieLens(
        user=user,
        movie=movie,
        rating=rating,
        second=second,
        title=["", *(f"movie {number}" for number in range(1, movies + 1))],
        genres=np.array(
            [[False] * 3, *([number % 2 == 0, number % 2 == 1, number % 5 == 0] for number in range(movies))]
        ),
        year=np.array([1995, *rng.integers(1950, 1999, movies)], np.int64),
        people=np.array([[0, 0, 0], *([n % 2, n % 7, n % 3] for n in range(users))], np.int64),
        occupations=["artist", "lawyer", "student"],
    )


class TrainBatches(Sequence[Batch]):
    """``length`` batches of a training, half clicks; each epoch has its own order and its own movies not taken."""

    def __init__(self, known: Clicks, batch: int, length: int, seed: int):
        self.known, self.half, self.length, self.seed = known, batch // 2, length, seed
        self.places = known.of("train")
        self._epoch: tuple[int, np.ndarray, np.ndarray] = (-1, self.places, self.places)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:  # type: ignore[override]
        if not 0 <= step < self.length:
            raise IndexError(step)
        epoch, within = divmod(step, max(1, len(self.places) // self.half))
        if self._epoch[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            order = rng.permutation(self.places)
            self._epoch = epoch, order, self.known.others(order, rng)
        own = slice(within * self.half, (within + 1) * self.half)
        places, others = self._epoch[1][own], self._epoch[2][own]
        return _batch(self.known, places, others, np.arange(2 * len(places)))


class TestBatches(Sequence[Batch]):
    """A part's clicks and movies not taken, whole users together: ``meta`` has each row's user, ``ids`` the batch's.

    Users come in an order of ``seed``, which draws the movies not taken too.
    """

    __test__ = False

    def __init__(self, known: Clicks, split: Split, seed: int = TEST_SEED):
        rng = np.random.default_rng(seed)
        places = known.of(split)
        self.known, self.others = known, np.zeros(len(known.data.user), np.int64)
        self.others[places] = known.others(places, rng)
        self.groups: list[list[np.ndarray]] = []
        size = AT_ONCE
        for user in rng.permutation(np.unique(known.data.user[places])):
            own = places[known.data.user[places] == user]
            if size + 2 * len(own) > AT_ONCE:
                self.groups.append([])
                size = 0
            self.groups[-1].append(own)
            size += 2 * len(own)
        self.orders = [rng.permutation(2 * sum(map(len, group))) for group in self.groups]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Batch:  # type: ignore[override]
        places = np.concatenate(self.groups[index])
        batch = _batch(self.known, places, self.others[places], self.orders[index])
        users = np.concatenate([self.known.data.user[places]] * 2)[self.orders[index]]
        clicked = batch["targets"][0]
        return {
            "inputs": batch["inputs"],
            "targets": (clicked, users),
            "ids": [f"user-{self.known.data.user[own[0]]:04d}" for own in self.groups[index]],
        }


class MadeUpBatches(Sequence[Batch]):
    """``length`` batches of any layout with the samples of a sampled softmax: random ids, histories of any length."""

    def __init__(self, setting: Setting, length: int):
        self.setting, self.length = setting, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, step: int) -> Batch:  # type: ignore[override]
        if not 0 <= step < self.length:
            raise IndexError(step)
        setting, layout = self.setting, self.setting.layout
        rng = np.random.default_rng(step)

        def ids(*fields: Field) -> np.ndarray:
            return np.stack([rng.integers(0, field.values, setting.batch) for field in fields], -1)

        steps = [layout.field(name) for name in layout.history]
        fields = np.stack([ids(*steps) for _ in range(layout.steps)], 1)
        behaviours = rng.integers(1, layout.behaviours, (setting.batch, layout.steps, 1))
        long = rng.integers(0, layout.steps + 1, setting.batch)
        mask = (np.arange(layout.steps) >= layout.steps - long[:, None]).astype(np.int64)
        history = np.concatenate([behaviours, fields], -1) * mask[..., None]
        inputs = (
            history,
            mask,
            mask[:, -2],
            ids(*layout.user),
            ids(*layout.item, *layout.context),
            rng.normal(size=(setting.batch, layout.numbers)).astype(np.float32),
        )
        click = rng.integers(0, 2, setting.batch)
        last = history[:, -1, 1 + layout.history.index(layout.matched)]
        if not setting.sampled:
            return {"inputs": inputs, "targets": (click, last)}
        drawn = sample(log_uniform(layout.field(layout.matched).values), last, setting.sampled, rng)
        logs = (np.log(drawn.right).astype(np.float32), np.log(drawn.drawn).astype(np.float32))
        return {"inputs": (*inputs, drawn.classes, *logs), "targets": (click, np.zeros_like(last))}


def _batch(known: Clicks, places: np.ndarray, others: np.ndarray, order: np.ndarray) -> Batch:
    """Clicks and movies not taken, in that order; targets: the click [B], and the history's last movie [B]."""
    both = np.concatenate([places, places])[order]
    movies = np.concatenate([known.data.movie[places], others])[order]
    inputs = known.rows(both, movies)
    clicked = (order < len(places)).astype(np.int64)
    return {"inputs": inputs, "targets": (clicked, inputs[0][:, -1, 1])}
