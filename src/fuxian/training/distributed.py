"""Data-parallel training under ``python -m paddle.distributed.launch``: each process takes its share of every batch.

Gradients are averaged after the backward pass, so the processes take the step that one process would take on the
joint batch. Buffers such as BN statistics follow each process's own share; the first process's are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import paddle
import paddle.distributed as dist

from fuxian.errors import InputError
from fuxian.recipe import Batch, Tree


def world() -> tuple[int, int]:
    """(rank, number of processes), joining the group where the launcher started several."""
    size = dist.get_world_size()
    if size > 1 and not dist.is_initialized():
        dist.init_parallel_env()
    return dist.get_rank(), size


def wait(size: int) -> None:
    """Returns when every process has come here."""
    if size > 1:
        dist.barrier()


def rows(tree: Tree) -> int:
    """The examples in a tree: the length of its first list, or of its first array's first axis; 0 where none is."""
    if isinstance(tree, list):
        return len(tree)
    if isinstance(tree, (dict, tuple)):
        return next(filter(None, map(rows, tree.values() if isinstance(tree, dict) else tree)), 0)
    return len(tree) if getattr(tree, "ndim", 0) else 0


def share(batch: Batch, rank: int, size: int, batch_size: int | None = None) -> Batch:
    """This process's rows of a batch: of an array along its first axis, of a ragged list its entries.

    What has neither (a number, a name) is every process's. ``batch_size`` is the recipe's, if it says one.

    Raises InputError where the rows cannot be shared out evenly.
    """
    if size == 1:
        return batch
    counts = {batch_size} if batch_size else set()

    def cut(tree: Tree) -> Tree:
        if isinstance(tree, dict):
            return {key: cut(part) for key, part in tree.items()}
        if isinstance(tree, tuple):
            return tuple(map(cut, tree))
        if not isinstance(tree, list) and not getattr(tree, "ndim", 0):
            return tree
        counts.add(len(tree))
        part = len(tree) // size
        return tree[rank * part : (rank + 1) * part]

    shared = {"inputs": cut(batch["inputs"]), "targets": cut(batch.get("targets", ()))}
    if len(counts) != 1 or next(iter(counts)) % size:
        raise InputError(
            f"a batch of {' and '.join(map(str, sorted(counts)))} rows cannot be shared by {size} processes: choose a"
            f" batch size that is a multiple of {size}, the same in each array and ragged list."
        )
    return shared


def average_gradients(model: Any, size: int) -> None:
    """Replaces each gradient by its mean over the processes.

    A parameter that only some shares reach has a gradient of zero in the others; one that none reaches keeps none.
    One that is spread over the processes (Paddle's mark ``is_distributed``) is left alone.
    """
    parameters = [
        parameter
        for parameter in model.parameters()
        if not parameter.stop_gradient and not parameter.is_distributed
    ]
    if not parameters:
        return
    reached = paddle.to_tensor([float(parameter.grad is not None) for parameter in parameters])
    dist.all_reduce(reached)
    for parameter, count in zip(parameters, reached.tolist(), strict=True):
        if count:
            gradient = parameter.grad if parameter.grad is not None else paddle.zeros_like(parameter)
            dist.all_reduce(gradient)
            parameter.grad = paddle.scale(gradient, 1.0 / size)


def mean(values: Sequence[Any]) -> list[float]:
    """Each value's mean over the processes."""
    numbers = [float(value) for value in values]
    size = dist.get_world_size()
    if size == 1 or not numbers:
        return numbers
    gathered = paddle.to_tensor(numbers, dtype="float64")
    dist.all_reduce(gathered)
    return [float(number) / size for number in gathered.tolist()]


def from_first(figures: dict[str, float], size: int) -> dict[str, float]:
    """What the first process gives, in every process."""
    if size == 1:
        return figures
    held = [figures]
    dist.broadcast_object_list(held, src=0)
    return held[0]
