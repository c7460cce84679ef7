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
from fuxian.recipe import Batch, leaves, map_tree


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


def share(batch: Batch, rank: int, size: int) -> Batch:
    """This process's rows of a batch (first axis). Raises InputError where they cannot be shared out evenly."""
    if size == 1:
        return batch
    rows = {len(leaf) for _, leaf in leaves((batch["inputs"], batch["targets"]))}
    if len(rows) != 1 or next(iter(rows)) % size:
        raise InputError(
            f"a batch with first axes of {sorted(rows)} cannot be shared by {size} processes: choose a batch size"
            f" that is a multiple of {size}."
        )
    part = next(iter(rows)) // size

    def cut(leaf: Any) -> Any:
        return leaf[rank * part : (rank + 1) * part]

    return {"inputs": map_tree(cut, batch["inputs"]), "targets": map_tree(cut, batch["targets"])}


def average_gradients(model: Any, size: int) -> None:
    """Replaces each gradient by its mean over the processes.

    A parameter that only some shares reach has a gradient of zero in the others; one that none reaches keeps none.
    """
    parameters = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
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
