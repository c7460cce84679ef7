"""Scores movies for people whose ratings a user gives, and says what the two relevances contributed to each score."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import paddle

from fuxian.datasets.movielens import AGES
from fuxian.errors import InputError
from fuxian.papers.contract import Prediction
from fuxian.papers.dmr.data import Clicks, clicks
from fuxian.papers.dmr.model import DMR
from fuxian.papers.dmr.settings import MOVIES
from fuxian.papers.user_files import read_rows
from fuxian.weights import load_tensors

PATH = """
A folder with three CSV files. users.csv: user,gender,age,occupation (gender F or M, occupation as in MovieLens'
u.user). ratings.csv: user,movie,rating,time (MovieLens' number of the movie, 1 to 5, any number that grows with time).
candidates.csv: user,movie, the pairs to score. MovieLens 100k must be in the data folder: genres and years are its.
"""
AT_ONCE = 512
COLUMNS = {
    "users.csv": ["user", "gender", "age", "occupation"],
    "ratings.csv": ["user", "movie", "rating", "time"],
    "candidates.csv": ["user", "movie"],
}


@dataclass(frozen=True)
class Asked:
    """The candidates with the inputs that the network takes for them."""

    users: list[str]
    movies: np.ndarray
    inputs: tuple[np.ndarray, ...]
    seen: dict[str, list[int]]
    """The movies of each user's history that the network sees, the newest last."""


def load_model(weights: Path) -> DMR:
    """The trained network in evaluation mode. Raises InputError for weights of something else."""
    stored = load_tensors(weights)
    model = DMR(MOVIES.layout)
    for name, parameter in model.state_dict().items():
        given = stored.get(name)
        if given is None or list(given.shape) != list(parameter.shape):
            raise InputError(f"{weights} does not hold {name} in its shape; give weights of dmr/movielens.")
        parameter.set_value(given.astype(np.float32))
    model.eval()
    return model


def scores(model: DMR, inputs: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """By name, each [B]: ``score``, the probability of a click, ``u2i`` and ``i2i``, the relevances, and ``by_u2i`` and
    ``by_i2i``, what they add to the logit over the training's mean relevance in their place."""
    parts: list[dict[str, np.ndarray]] = []
    mean = model.norm._mean
    with paddle.no_grad():
        for at in range(0, len(inputs[0]), AT_ONCE):
            seen, found = model.features(*(paddle.to_tensor(one[at : at + AT_ONCE]) for one in inputs))
            logit = model.rank(seen)
            one = {"score": paddle.nn.functional.sigmoid(logit), **found}
            for name, column in model.columns.items():
                without = paddle.concat(
                    [seen[:, :column], mean[column].expand([len(seen), 1]), seen[:, column + 1 :]], 1
                )
                one[f"by_{name}"] = logit - model.rank(without)
            parts.append({name: value.numpy() for name, value in one.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def predict(
    claim: str,
    path: Path,
    weights: Path,
    out: Path,
    *,
    best: Annotated[int, "How many movies of each user the table shows, the best first; 0: all."] = 20,
) -> Prediction:
    """Scores the candidates and writes them as a table with a bar for what each relevance contributed."""
    if claim != "movielens":
        raise InputError(f"dmr/{claim} has no weights here to predict with; take dmr/movielens.")
    if best < 0:
        raise InputError("best must be 0 or more; give how many movies of each user to show.")
    known = clicks(MOVIES.layout)
    asked = read_folder(path, known)
    found = scores(load_model(weights), asked.inputs)
    rows = [
        {
            "user": user,
            "movie": int(asked.movies[at]),
            "title": known.data.title[asked.movies[at]],
            "score": float(found["score"][at]),
            "u2i": float(found["u2i"][at]),
            "by_u2i": float(found["by_u2i"][at]),
            "i2i": float(found["i2i"][at]),
            "by_i2i": float(found["by_i2i"][at]),
        }
        for at, user in enumerate(asked.users)
    ]
    order = {user: place for place, user in enumerate(dict.fromkeys(asked.users))}
    rows.sort(key=lambda row: (order[row["user"]], -row["score"]))
    titles = {user: [known.data.title[movie] for movie in own] for user, own in asked.seen.items()}
    return Prediction(
        rows=rows,
        views=[write_table(rows, titles, best, out / "scores.html")],
        about={
            "score": "probability that the user takes this movie and not one drawn by popularity",
            "by_u2i, by_i2i": "what the relevance adds to the logit over its mean in training",
            "history": f"the last {MOVIES.layout.steps} ratings",
        },
    )


def read_folder(path: Path, known: Clicks) -> Asked:
    """Reads the three files. Raises InputError, with file and line, for what they must not hold."""
    if not path.is_dir():
        raise InputError(f"{path} is no folder; give one with {', '.join(COLUMNS)}.")
    people = _people(path / "users.csv", known)
    rated: dict[str, list[tuple[float, int, int]]] = {user: [] for user in people}
    for where, (user, movie, rating, moment) in _rows(path / "ratings.csv"):
        own = _of(rated, user, where)
        stars = _number(rating, where, 1, 5)
        own.append((_moment(moment, where), _movie(movie, where, known), stars))
    asked: list[str] = []
    wanted: list[int] = []
    for where, (user, movie) in _rows(path / "candidates.csv"):
        _of(rated, user, where)
        asked.append(user)
        wanted.append(_movie(movie, where, known))
    if not asked:
        raise InputError(f"{path / 'candidates.csv'} has no candidate; put a user and a movie in each line.")
    steps = MOVIES.layout.steps
    shown = {user: sorted(own, key=lambda one: one[0])[-steps:] for user, own in rated.items()}
    histories = np.zeros((len(asked), steps, 2), np.int64)
    for place, user in enumerate(asked):
        own = shown[user]
        if own:
            histories[place, -len(own) :] = [(stars, number) for _, number, stars in own]
    movies = np.array(wanted, np.int64)
    inputs = known.assembled(
        histories, histories[..., 1] > 0, np.array([people[user] for user in asked], np.int64), movies
    )
    seen = {user: [number for _, number, _ in own] for user, own in shown.items()}
    return Asked(asked, movies, inputs, seen)


def _people(file: Path, known: Clicks) -> dict[str, tuple[int, int, int]]:
    people: dict[str, tuple[int, int, int]] = {}
    for where, (user, gender, age, occupation) in _rows(file):
        if user in people:
            raise InputError(f"{where}: user {user!r:.40} stands twice; keep one line of each.")
        if gender not in ("F", "M"):
            raise InputError(f"{where}: the gender is {gender!r:.40}; write F or M, as MovieLens does.")
        if occupation not in known.data.occupations:
            raise InputError(
                f"{where}: the occupation {occupation!r:.40} is not known; take one of"
                f" {', '.join(known.data.occupations)}."
            )
        group = int(np.searchsorted(AGES, _number(age, where, 0, 150), "right"))
        people[user] = int(gender == "M"), group, known.data.occupations.index(occupation)
    return people


def _rows(file: Path) -> list[tuple[str, list[str]]]:
    columns = COLUMNS[file.name]
    found = []
    for line, fields in read_rows(file, columns):
        if len(fields) != len(columns):
            raise InputError(f"{file}, line {line}: {len(fields)} fields; give {','.join(columns)}.")
        if not all(field.isprintable() for field in fields):
            raise InputError(f"{file}, line {line}: a field cannot be printed; write plain text.")
        found.append((f"{file}, line {line}", [field.strip() for field in fields]))
    return found


def _of(rated: dict[str, list], user: str, where: str) -> list:
    if user not in rated:
        raise InputError(f"{where}: user {user!r:.40} is not in users.csv; add a line there.")
    return rated[user]


def _movie(word: str, where: str, known: Clicks) -> int:
    return _number(word, where, 1, len(known.data.title) - 1)


def _number(word: str, where: str, least: int, most: int) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 10 and least <= int(word) <= most):
        raise InputError(f"{where}: {word!r:.40} is no whole number from {least} to {most}; mend it.")
    return int(word)


def _moment(word: str, where: str) -> float:
    try:
        moment = float(word)
    except ValueError:
        moment = float("nan")
    if not np.isfinite(moment):
        raise InputError(f"{where}: the time {word!r:.40} is no number; give seconds, or 1, 2, 3.")
    return moment


def write_table(rows: list[dict], seen: dict[str, list[str]], best: int, file: Path) -> Path:
    """A page with each user's history and best movies, a bar to the right of the middle for what speaks for a movie."""
    most = max(1e-9, *(abs(row[name]) for row in rows for name in ("by_u2i", "by_i2i")))
    page = [_HEAD]
    for user in dict.fromkeys(row["user"] for row in rows):
        own = [row for row in rows if row["user"] == user]
        shown = own[: best or len(own)]
        history = ", ".join(map(html.escape, reversed(seen[user]))) or "nothing yet"
        page.append(f"<h2>{html.escape(user)}</h2><p>Rated last (newest first): {history}.</p><table>")
        page.append("<tr><th>movie<th>score<th>user to item<th>item to item</tr>")
        for row in shown:
            bars = "".join(_bar(row[name], row[f"by_{name}"], most) for name in ("u2i", "i2i"))
            page.append(f"<tr><td>{html.escape(row['title'])}<td>{row['score']:.3f}{bars}</tr>")
        page.append("</table>")
        if len(shown) < len(own):
            page.append(f"<p>{len(own) - len(shown)} more are in the JSON output.</p>")
    file.write_text("\n".join(page) + "</html>\n", encoding="utf-8")
    return file


def _bar(relevance: float, contribution: float, most: float) -> str:
    width = 50 * abs(contribution) / most
    left = 50 if contribution > 0 else 50 - width
    kind = "for" if contribution > 0 else "against"
    return (
        f'<td title="relevance {relevance:.3f}"><span class="bar"><i class="{kind}" style="left:{left:.1f}%;'
        f'width:{width:.1f}%"></i></span> {contribution:+.2f}'
    )


_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>DMR: scores</title>
<style>body{font:15px/1.4 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ddd}
.bar{display:inline-block;position:relative;width:9rem;height:.8rem;background:#f2f2f2;vertical-align:middle}
.bar i{position:absolute;top:0;bottom:0}.for{background:#2a7f4f}.against{background:#b5452c}</style>
<h1>Which movie would this person take?</h1>
<p>Score: the probability of taking this movie and not one drawn by popularity. Bars: what the two relevances add to the
logit over their mean in training, against on the left and for on the right.</p>"""
