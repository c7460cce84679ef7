"""The parity cases: the examples, and the weights that both implementations are given.

Weights are drawn with numpy from the names of the official variables, in the official shapes, so that neither
framework is needed to make them. Tables of ids have a row for each id that the case uses, and no more: rows that no
example names have no gradient. Everything else is of the paper's size, all 12,978 categories of the sampled softmax
among it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fuxian.datasets import find_root
from fuxian.papers.dmr.settings import ALIMAMA, Field, Layout

STEPS = 5
LEARNING_RATE = 1e-3
COMPACTED = {
    "uid": (250,),
    "adgroup_id": (259,),
    "campaign_id": (261,),
    "customer": (262,),
    "brand": (*range(100, 150), 263),
}
"""Columns of each table that is cut to the ids in use; 0 stays 0."""


@dataclass(frozen=True)
class Case:
    """Batches of rows float64 [B, 267], one for each step, and the sizes that their ids have."""

    batches: tuple[np.ndarray, ...]
    layout: Layout


def sample_file() -> Path:
    """The official sample of 500 rows, which is not ours to publish."""
    return find_root() / "alimama" / "alimama_sampled.txt"


def case(name: str) -> Case:
    """``made-up``: random rows, a third with short histories; ``alimama``: rows of the official sample, of which some
    have their histories cut short."""
    if name == "made-up":
        rows = made_up(STEPS * 16)
    else:
        rows = np.loadtxt(sample_file(), delimiter=",")
        rows = rows[_generator("rows").permutation(len(rows))[: STEPS * 32]]
        rows = _shortened(
            rows, _generator("shortened").integers(0, 51, len(rows)) * (np.arange(len(rows)) % 4 == 0)
        )
    rows, layout = _compacted(rows)
    return Case(tuple(np.split(rows, STEPS)), layout)


def made_up(count: int) -> np.ndarray:
    rng = _generator("made-up")
    rows = np.zeros((count, 267))
    rows[:, :50] = rng.integers(1, ALIMAMA.behaviours, (count, 50))
    rows[:, 50:100] = rng.integers(1, 60, (count, 50)) ** 2
    rows[:, 100:150] = rng.integers(1, 300, (count, 50))
    rows[:, 150:250] = 1
    for place, field in enumerate((*ALIMAMA.user, *ALIMAMA.item[:2])):
        rows[:, 250 + place] = rng.integers(0, min(field.values, 50), count)
    rows[:, 260] = rng.integers(1, 60, count) ** 2
    rows[:, 261:264] = rng.integers(0, 40, (count, 3))
    rows[:, 264] = rng.uniform(0.5, 1.0, count)
    rows[:, 265:267] = rng.integers(0, 2, (count, 2))
    return _shortened(rows, rng.integers(0, 50, count) * (np.arange(count) % 3 == 0))


def _shortened(rows: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The oldest ``missing`` [B] steps of each history become none."""
    none = np.arange(50) < missing[:, None]
    rows = rows.copy()
    for at in range(0, 250, 50):
        rows[:, at : at + 50][none] = 0
    return rows


def _compacted(rows: np.ndarray) -> tuple[np.ndarray, Layout]:
    rows = rows.copy()
    sizes = {}
    for name, columns in COMPACTED.items():
        known, ids = np.unique(np.append(rows[:, columns].reshape(-1), 0.0), return_inverse=True)
        rows[:, columns] = ids.reshape(-1)[:-1].reshape(len(rows), -1)
        sizes[name] = len(known)

    def cut(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        return tuple(replace(field, values=sizes.get(field.name, field.values)) for field in fields)

    return rows, replace(ALIMAMA, user=cut(ALIMAMA.user), item=cut(ALIMAMA.item))


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


def drawn_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float64; large enough that no part of the network falls silent beside another."""
    noise = _generator(name).standard_normal(shape)
    if "moving" in name:
        return np.full(shape, float(name.endswith("variance")))
    if name == "dm_item_biases":
        return np.zeros(shape)
    if "kernel" in name:
        return noise / np.sqrt(shape[0])
    if len(shape) == 2:
        return 0.3 * noise
    return {"gamma": 1.0, "prelu": 0.1}.get(name.rsplit("/", 1)[-1][:5], 0.0) + 0.05 * noise
