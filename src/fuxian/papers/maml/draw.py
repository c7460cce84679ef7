"""The test drawn for a ruling: new tasks as the paper's protocol makes them, their queries in a drawn order.

Sinusoids are endless. Omniglot's test characters are known to everybody, the episodes made of them (which characters,
drawings, turns and labels) are not known before the seed is. The queries of an episode come class by class in
training; here their order is drawn, so that a query's place does not tell its class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fuxian.papers.maml.recipe import evaluation_tasks
from fuxian.papers.maml.settings import SETTINGS
from fuxian.recipe import Batch

PUBLIC_LABELS = ("omniglot-5way-1shot", "omniglot-5way-5shot")
"""Whoever finds a drawing among Omniglot's knows its character."""


@dataclass(frozen=True)
class DrawnTasks(Sequence[Batch]):
    """The batches of ``tasks`` with each task's queries and their targets in one drawn order, and an id a task."""

    tasks: Sequence[Batch]
    stream: int

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, index):
        batch = self.tasks[index]
        support_x, support_y, query_x = batch["inputs"]
        (query_y,) = batch["targets"]
        # The tasks themselves are drawn from [stream, index].
        rng = np.random.default_rng([self.stream, index, 1])
        order_TB = rng.permuted(np.tile(np.arange(query_x.shape[1]), (len(query_x), 1)), axis=1)
        return {
            "inputs": (support_x, support_y, _in_order(query_x, order_TB)),
            "targets": (_in_order(query_y, order_TB),),
            "ids": [f"{index:03d}-{task:03d}" for task in range(len(query_x))],
        }


def draw(claim: str, seed: int) -> Sequence[Batch]:
    """As many tasks as the claim's own test has, in batches of as many; a unit is a task.

    Raises InputError where Omniglot is needed and not there.
    """
    # Seeds of trainings and of the public test are small numbers: a hash keeps the streams apart.
    digest = hashlib.sha256(f"{claim} {seed}".encode()).digest()
    stream = int.from_bytes(digest[:8], "big")
    return DrawnTasks(evaluation_tasks(SETTINGS[claim], stream), stream)


def _in_order(values: np.ndarray, order_TB: np.ndarray) -> np.ndarray:
    return np.stack([task[order] for task, order in zip(values, order_TB, strict=True)])
