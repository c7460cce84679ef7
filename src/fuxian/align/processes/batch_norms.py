"""Batch norms on several processes: each process's own statistics, or the joint batch's.

Paddle's ``SyncBatchNorm`` has a kernel for GPUs only; on a CPU ``joint`` computes the same by two sums over the
processes in each direction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import paddle
import paddle.distributed as dist
from paddle.autograd import PyLayer
from paddle.nn.layer.norm import BatchNorm, _BatchNormBase

STATISTICS = ("_mean", "_variance")


def is_synchronised(layer: paddle.nn.Layer) -> bool:
    """Whether the layer takes the statistics of all processes' examples."""
    return isinstance(layer, paddle.nn.SyncBatchNorm)


def is_plain(layer: paddle.nn.Layer) -> bool:
    """Whether the layer takes the statistics of its own process's examples."""
    return isinstance(layer, (_BatchNormBase, BatchNorm)) and not is_synchronised(layer)


def by_shares(model: paddle.nn.Layer, size: int) -> None:
    """Every plain batch norm takes the statistics of each of ``size`` shares of its batch apart, as that many processes
    do, and keeps the first share's."""
    for layer in model.sublayers(include_self=True):
        if is_plain(layer):
            layer.forward = _by_shares(layer, layer.forward, size)


def _by_shares(layer: Any, forward: Callable, size: int) -> Callable:
    def run(x: Any) -> Any:
        if not layer.training or x.shape[0] % size:
            return forward(x)
        first, *others = paddle.split(x, size)
        outputs = [forward(first)]
        kept = {name: layer._parameters[name] for name in STATISTICS}
        try:
            for share in others:
                layer._parameters |= {name: tensor.clone() for name, tensor in kept.items()}
                outputs.append(forward(share))
        finally:
            layer._parameters |= kept
        return paddle.concat(outputs)

    return run


@contextlib.contextmanager
def joint() -> Iterator[None]:
    """While open, ``SyncBatchNorm`` runs on a CPU: over all processes where there are several, else over its batch."""
    with mock.patch.object(paddle.nn.SyncBatchNorm, "forward", _joint_forward):
        yield


def _joint_forward(layer: Any, x: Any) -> Any:
    layout = layer._data_format or "NCHW"
    axis = 1 if layout[1] == "C" else x.ndim - 1
    if not layer.training:
        return paddle.nn.functional.batch_norm(
            x, layer._mean, layer._variance, layer.weight, layer.bias, False, layer._momentum, layer._epsilon, layout
        )  # fmt: skip
    normalised, mean, variance = _Normalise.apply(x, axis, layer._epsilon)
    with paddle.no_grad():
        for kept, now in ((layer._mean, mean), (layer._variance, variance)):
            kept.set_value(kept * layer._momentum + now.detach() * (1.0 - layer._momentum))
    shape = [x.shape[axis] if place == axis else 1 for place in range(x.ndim)]
    if layer.weight is not None:
        normalised = normalised * layer.weight.reshape(shape)
    return normalised if layer.bias is None else normalised + layer.bias.reshape(shape)


def _mean_of_all(tensor: Any) -> Any:
    if dist.get_world_size() == 1:
        return tensor
    dist.all_reduce(tensor)
    return tensor / dist.get_world_size()


class _Normalise(PyLayer):
    """(x - mean) / sqrt(variance + epsilon), with mean and (biased) variance of every process's examples."""

    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, epsilon: float) -> Any:
        others = [place for place in range(x.ndim) if place != axis]
        mean = _mean_of_all(x.mean(others, keepdim=True))
        centred = x - mean
        variance = _mean_of_all((centred * centred).mean(others, keepdim=True))
        scale = (variance + epsilon).rsqrt()
        normalised = centred * scale
        ctx.others = others
        ctx.save_for_backward(normalised, scale)
        return normalised, mean.flatten(), variance.flatten()

    @staticmethod
    def backward(ctx: Any, gradient: Any, *_: Any) -> Any:
        normalised, scale = ctx.saved_tensor()
        average = _mean_of_all(gradient.mean(ctx.others, keepdim=True))
        along = _mean_of_all((gradient * normalised).mean(ctx.others, keepdim=True))
        return scale * (gradient - average - normalised * along)
