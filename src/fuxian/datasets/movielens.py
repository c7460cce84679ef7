"""MovieLens 100k in GroupLens' files: ``<root>/ml-100k/`` with u.data, u.item and u.user.

100,000 ratings (1 to 5) of 1,682 movies by 943 users between September 1997 and April 1998, each with its second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuxian.datasets.root import find_root
from fuxian.errors import InputError

GENRES = 19
AGES = (18, 25, 35, 45, 50, 56)
"""First years of the age groups after the youngest, GroupLens' own."""
HOMEPAGE = "https://grouplens.org/datasets/movielens/100k/"
_YEAR = re.compile(r"\((\d{4})\)\s*$")


@dataclass(frozen=True)
class MovieLens:
    """``user``, ``movie``, ``rating``, ``second``: int64 [N], by time, in the file's order within a second.

    Users and movies are numbered as GroupLens numbers them, from 1; row 0 of ``genres`` [M + 1, 19] bool and of
    ``year`` [M + 1] is nobody's. ``people`` int64 [U + 1, 3]: gender (0 F, 1 M), age group, occupation.
    """

    user: np.ndarray
    movie: np.ndarray
    rating: np.ndarray
    second: np.ndarray
    title: list[str]
    genres: np.ndarray
    year: np.ndarray
    people: np.ndarray
    occupations: list[str]


def load(root: Path | None = None) -> MovieLens:
    """Reads the three files. Raises InputError, with file and line, where one is absent or something else."""
    folder = (find_root() if root is None else root) / "ml-100k"
    ratings = np.array(
        [[_number(word, *at) for word in row] for at, row in _rows(folder / "u.data", "\t", 4)], np.int64
    )
    movies = list(_rows(folder / "u.item", "|", 5 + GENRES))
    users = list(_rows(folder / "u.user", "|", 5))
    for at, row in (*movies, *users):
        _number(row[0], *at)
    for what, rows in (("movie", movies), ("user", users)):
        if [int(row[0]) for _, row in rows] != list(range(1, len(rows) + 1)):
            raise InputError(f"{folder}: {what}s must be numbered from 1 on; take GroupLens' own files.")
    if ratings[:, 0].max() > len(users) or ratings[:, 1].max() > len(movies) or ratings[:, :3].min() < 1:
        raise InputError(f"{folder / 'u.data'} names users or movies that are not there; take one release.")
    if ratings[:, 2].max() > 5:
        raise InputError(f"{folder / 'u.data'} has ratings above 5; take GroupLens' own file.")
    user, movie, rating, second = ratings[np.argsort(ratings[:, 3], kind="stable")].T
    occupations = sorted({row[3] for _, row in users})
    people = [
        [
            int(row[2] == "M"),
            int(np.searchsorted(AGES, _number(row[1], *at), "right")),
            occupations.index(row[3]),
        ]
        for at, row in users
    ]
    years = [_YEAR.search(row[1]) for _, row in movies]
    return MovieLens(
        user=user,
        movie=movie,
        rating=rating,
        second=second,
        title=["", *(row[1] for _, row in movies)],
        genres=np.array([[False] * GENRES, *([word == "1" for word in row[5:]] for _, row in movies)]),
        # One movie has no name and no year; 1995 is the commonest.
        year=np.array([1995, *(int(year[1]) if year else 1995 for year in years)], np.int64),
        people=np.array([[0, 0, 0], *people], np.int64),
        occupations=occupations,
    )


def _rows(path: Path, mark: str, columns: int) -> list[tuple[tuple[Path, int], list[str]]]:
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); put u.data, u.item and u.user of MovieLens 100k there:"
            f" {HOMEPAGE}."
        ) from error
    rows = []
    for number, line in enumerate(lines, 1):
        row = line.split(mark)
        if len(row) != columns:
            raise InputError(
                f"{path}, line {number}: {columns} fields were expected, not {len(row)}; take GroupLens' own file."
            )
        rows.append(((path, number), row))
    if not rows:
        raise InputError(f"{path} is empty; take GroupLens' own file.")
    return rows


def _number(word: str, path: Path, line: int) -> int:
    if not re.fullmatch(r"\d{1,10}", word):
        raise InputError(f"{path}, line {line}: {word!r:.30} is no whole number; take GroupLens' own file.")
    return int(word)
