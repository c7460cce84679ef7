"""The official file of the Alimama data: a line an example, 267 numbers with commas, read as a stream.

50 behaviours, 50 categories, 50 brands, 50 masks and 50 masks of the match, the newest step last; 9 of the user; ad,
category, campaign, customer, brand, price, place; the click.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from fuxian.datasets import find_root
from fuxian.errors import InputError
from fuxian.papers.dmr.sampling import LearnedUnigram, sample, sampler_of
from fuxian.papers.dmr.settings import ALIMAMA, Setting
from fuxian.recipe import Batch

COLUMNS = 267
BATCHES_AHEAD = 20
"""Of a block of so many batches the official iterator takes the lines from the end."""
LONGEST = 64 * 1024
HOMEPAGE = "https://tianchi.aliyun.com/dataset/dataDetail?dataId=56"
_USER, _AD, _PRICE, _PLACE = slice(250, 259), 259, 264, 265
_ITEM = (259, 260, 263, 261, 262)
"""Ad, category, brand, campaign, customer: the order in which the network joins them."""


def file_of(name: str) -> Path:
    """``<root>/alimama/<name>``. Raises InputError where it is not there."""
    path = find_root() / "alimama" / name
    if not path.is_file():
        raise InputError(
            f"{path} is not there; make it of the Alimama data ({HOMEPAGE}) in the 267 columns of the official code"
            " (github.com/lvze92/DMR, alimama_sampled.txt shows them)."
        )
    return path


def blocks(path: Path, lines: int) -> Iterator[np.ndarray]:
    """The file as float64 [up to ``lines``, 267], in its order; one block at a time is in memory.

    Raises InputError, with the line, where a line is no example: another number of columns, no number, an id that its
    table does not have, a mask or a click other than 0 and 1.
    """
    done = 0
    with path.open("rb") as stream:
        while text := list(islice(iter(lambda: stream.readline(LONGEST), b""), lines)):
            yield _parsed(path, text, done)
            done += len(text)
    if not done:
        raise InputError(f"{path} is empty; put lines of {COLUMNS} numbers there.")


def examples(rows: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The inputs of ``model.Example`` and the clicks int64 [B], of rows float64 [B, 267]."""
    ids = rows[:, :_PRICE].astype(np.int64)
    history = np.stack([ids[:, at : at + 50] for at in (0, 50, 100)], -1)
    target = np.concatenate([ids[:, _ITEM], rows[:, _PLACE : _PLACE + 1].astype(np.int64)], 1)
    return (
        history,
        ids[:, 150:200],
        ids[:, 248],
        ids[:, _USER],
        target,
        rows[:, _PRICE : _PRICE + 1].astype(np.float32),
    ), rows[:, -1].astype(np.int64)


class StreamedBatches:
    """The batches of one pass over a file in the official iterator's order.

    In training with samples for the auxiliary loss, and as targets the clicks [B] and the right class of the match
    among its logits [B]; else the clicks and the users [B]. An iterable: what the sampler has learned at a step follows
    from all steps before it.
    """

    def __init__(self, path: Path, setting: Setting, seed: int, training: bool = True):
        self.path, self.setting, self.seed, self.training = path, setting, seed, training

    def __iter__(self) -> Iterator[Batch]:
        setting = self.setting
        matches = setting.sampled and setting.variant in ("dmr", "u2i")
        sampler = sampler_of(setting.sampler, setting.layout.field(setting.layout.matched).values)
        step = 0
        for read in blocks(self.path, setting.batch * BATCHES_AHEAD):
            block = read[::-1]
            for at in range(0, len(block), setting.batch):
                inputs, clicks = examples(block[at : at + setting.batch])
                last = inputs[0][:, -1, 1]
                if not self.training:
                    yield {"inputs": inputs, "targets": (clicks, inputs[3][:, 0])}
                elif not matches:
                    yield {"inputs": inputs, "targets": (clicks, last)}
                else:
                    inputs += self._samples(sampler, last, step)
                    yield {"inputs": inputs, "targets": (clicks, np.zeros_like(last))}
                step += 1

    def _samples(
        self, sampler: LearnedUnigram | np.ndarray, right: np.ndarray, step: int
    ) -> tuple[np.ndarray, ...]:
        probabilities = sampler.probabilities if isinstance(sampler, LearnedUnigram) else sampler
        assert self.setting.sampled is not None  # noqa: S101
        drawn = sample(probabilities, right, self.setting.sampled, np.random.default_rng((self.seed, step)))
        if isinstance(sampler, LearnedUnigram):
            sampler.learn(right)
        return drawn.classes, np.log(drawn.right).astype(np.float32), np.log(drawn.drawn).astype(np.float32)


def _parsed(path: Path, text: list[bytes], before: int) -> np.ndarray:
    try:
        rows = np.loadtxt(io.BytesIO(b"".join(text)), delimiter=",", ndmin=2, comments=None)
        fits = rows.shape == (len(text), COLUMNS)
    except ValueError:
        fits = False
    if not fits:
        raise _first_wrong(path, text, before)
    _check(path, rows, before)
    return rows


def _first_wrong(path: Path, text: list[bytes], before: int) -> InputError:
    for number, line in enumerate(text, before + 1):
        words = line.split(b",")
        if len(words) != COLUMNS:
            return InputError(
                f"{path}, line {number}: {len(words)} columns; the official file has {COLUMNS}."
            )
        for column, word in enumerate(words, 1):
            try:
                float(word)
            except ValueError:
                return InputError(
                    f"{path}, line {number}, column {column}: {word!r:.30} is no number; mend it."
                )
    return InputError(
        f"{path}, line {before + 1} and after: no table of {COLUMNS} numbers a line; mend the file."
    )


def _limits() -> np.ndarray:
    """The number of values [267] that each column may have; infinity for the price."""
    most = np.full(COLUMNS, 2.0)
    most[:50] = ALIMAMA.behaviours
    for at, name in ((50, "cate_id"), (100, "brand")):
        most[at : at + 50] = ALIMAMA.field(name).values
    most[_USER] = [field.values for field in ALIMAMA.user]
    most[list(_ITEM)] = [field.values for field in ALIMAMA.item]
    most[_PRICE] = np.inf
    most[_PLACE] = ALIMAMA.context[0].values
    return most


_LIMITS = _limits()


def _check(path: Path, rows: np.ndarray, before: int) -> None:
    whole = np.delete(rows, _PRICE, 1)
    wrong = ~((rows >= 0) & (rows < _LIMITS))
    wrong[:, _PRICE] = ~np.isfinite(rows[:, _PRICE])
    if not wrong.any() and (whole == np.floor(whole)).all():
        return
    wrong[:, np.arange(COLUMNS) != _PRICE] |= whole != np.floor(whole)
    row, column = (int(place[0]) for place in np.nonzero(wrong))
    raise InputError(
        f"{path}, line {before + row + 1}, column {column + 1}: {rows[row, column]:g} is none of the"
        f" {_LIMITS[column]:g} values that this column has; mend it."
        if column != _PRICE
        else f"{path}, line {before + row + 1}: the price is {rows[row, column]:g}; mend it."
    )
