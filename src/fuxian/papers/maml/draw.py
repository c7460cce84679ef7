"""The test of a ruling: tasks that nobody has seen, as many as the paper tests on.

Omniglot's are new episodes over the test characters, their query pictures in an order of each task's own: in the order
of training an answer that looks at nothing would be right. The sinusoids are new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fuxian.papers.maml.data import SinusoidTasks, omniglot_episodes
from fuxian.papers.maml.settings import SETTINGS
from fuxian.recipe import Batch

PUBLIC_LABELS = ("omniglot-5way-1shot", "omniglot-5way-5shot")
"""Whoever finds a drawing among Omniglot's knows its character."""


def draw(claim: str, seed: int) -> Iterator[Batch]:
    """600 tasks, 25 a batch; see ``fuxian.papers.maml.data`` for the shapes."""
    setting = SETTINGS[claim]
    tasks = setting.test_tasks_at_once
    batches: Sequence[Batch]
    if setting.ways == 0:
        batches = SinusoidTasks(setting.test_batches, tasks, setting.shots, seed=seed)
    else:
        batches = omniglot_episodes(
            "test",
            length=setting.test_batches,
            tasks=tasks,
            ways=setting.ways,
            shots=setting.shots,
            seed=seed,
        )
    for number in range(setting.test_batches):
        batch = batches[number]
        if setting.ways:
            batch = _permuted(batch, np.random.default_rng([seed, number, 1]))
        yield {**batch, "ids": [f"{number:04d}-{task:02d}" for task in range(tasks)]}


def _permuted(batch: Batch, random: np.random.Generator) -> Batch:
    """The same tasks with the queries of each in another order."""
    support_x, support_y, query_x = batch["inputs"]
    (query_y,) = batch["targets"]
    order = np.stack([random.permutation(query_x.shape[1]) for _ in range(len(query_x))])
    rows = np.arange(len(query_x))[:, None]
    return {"inputs": (support_x, support_y, query_x[rows, order]), "targets": (query_y[rows, order],)}
