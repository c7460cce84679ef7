"""The batches of a training, each drawn from (seed, step) alone: in this process, or ahead of it by worker processes.

However many workers draw, wherever a training resumes, step n trains on the same numbers.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import paddle

from fuxian.errors import InputError
from fuxian.recipe import Batch, Recipe, map_tree
from fuxian.training.distributed import rows, share
from fuxian.training.seeds import seed_everything


def batches(
    recipe: Recipe,
    *,
    seed: int,
    start: int,
    stop: int,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
) -> Generator[tuple[Batch, bool], None, None]:
    """This process's share of the batch of each step after ``start`` up to ``stop``, with whether its epoch begins.

    Each epoch's ``train_data()`` is made with the generators seeded by the number of steps before it, each batch is
    drawn with them seeded by its own step. A sequence is indexed, by ``workers`` processes where there are any, and
    epochs before ``start`` are not made again; any other iterable is read from its beginning, epoch after epoch, and
    what lies before ``start`` thrown away. Of a sequence with a method ``share(index, rank, processes)`` each process
    draws only its own rows.

    Raises InputError where there is no batch, or workers are asked for and the data are no sequence.
    """
    assert recipe.train_data is not None  # noqa: S101 - build() has checked
    done = 0
    while done < stop:
        seed_everything(seed, done)
        data = recipe.train_data()
        step = done
        if isinstance(data, Sequence):
            if 0 < len(data) <= start - done:
                done += (start - done) // len(data) * len(data)
                continue
            steps = range(max(start, done), min(done + len(data), stop))
            draw = _drawing(recipe, data, seed, done, rank, processes)
            for step, batch in zip(steps, _ahead(draw, steps, workers), strict=True):
                yield batch, step == done
            step = done + len(data)
        elif workers:
            raise InputError(
                f"train_data() returned a {type(data).__name__}, of which no worker can draw batch n alone: return a"
                " sequence (with __getitem__ and __len__), or leave --workers at 0."
            )
        else:
            read = iter(data)
            seed_everything(seed, step)
            while (whole := next(read, None)) is not None:
                step += 1
                if step > start:
                    yield share(whole, rank, processes, recipe.batch_size), step == done + 1
                seed_everything(seed, step)
        if step == done:
            raise InputError("train_data() gave no batch; give it at least one.")
        done = step


def examples(recipe: Recipe, batch: Batch, processes: int) -> int:
    """How many examples all processes train on in a step: what the recipe says, else the inputs' rows."""
    return recipe.batch_size or rows(batch["inputs"]) * processes


def _drawing(
    recipe: Recipe, data: Sequence, seed: int, first: int, rank: int, processes: int
) -> Callable[[int], Batch]:
    def draw(step: int) -> Batch:
        seed_everything(seed, step)
        if processes > 1 and hasattr(data, "share"):
            return data.share(step - first, rank, processes)
        return share(data[step - first], rank, processes, recipe.batch_size)

    return draw


def _ahead(draw: Callable[[int], Batch], steps: range, workers: int) -> Iterator[Batch]:
    if not workers or not steps:
        yield from map(draw, steps)
        return
    # Through pipes: the shared memory of a container is often 64 MB, and a batch that finds no room kills its worker.
    loader = paddle.io.DataLoader(
        _Draws(draw, steps),
        batch_size=None,
        num_workers=min(workers, len(steps)),
        collate_fn=lambda packed: packed,
        use_shared_memory=False,
    )
    reading = iter(loader)
    try:
        yield from map(_unpacked, reading)
    finally:
        # Paddle ends the workers of a loader that is read to its end, and not of one that is let go before.
        reading._try_shutdown_all(1.0)


class _Draws(paddle.io.Dataset):
    """What the loader's workers index. Paddle's loader carries a list of arrays and bytes faithfully, not a tree."""

    def __init__(self, draw: Callable[[int], Batch], steps: range) -> None:
        self.draw, self.steps = draw, steps

    def __getitem__(self, place: int) -> list[Any]:
        try:
            batch = self.draw(self.steps[place])
        except InputError as error:
            return [pickle.dumps(str(error)), *_SOMETHING]
        arrays: list[np.ndarray] = []

        def pack(leaf: Any) -> Any:
            if not isinstance(leaf, (np.ndarray, np.generic)):
                return leaf
            arrays.append(np.asarray(leaf))
            return _Place(len(arrays) - 1)

        return [
            pickle.dumps(map_tree(pack, {key: batch[key] for key in batch if key != "meta"})),
            *(arrays or _SOMETHING),
        ]

    def __len__(self) -> int:
        return len(self.steps)


_SOMETHING = [np.zeros(1)]
"""The loader takes a batch without any array for the end of the data."""


class _Place(int):
    """Stands for an array of the list."""


def _unpacked(packed: list[Any]) -> Batch:
    tree, arrays = pickle.loads(packed[0]), packed[1:]  # noqa: S301 - written by this very program's worker
    if isinstance(tree, str):
        raise InputError(tree)
    return map_tree(lambda leaf: arrays[leaf] if isinstance(leaf, _Place) else leaf, tree)
