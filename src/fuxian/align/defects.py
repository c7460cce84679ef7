"""Defects of the frameworks that a faithful port may meet: where each shows, in which version, and how to go round it.

Each was tried with the version named; ``tests/align/test_defects.py`` tries each again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuxian.align.divergence import Scene
from fuxian.align.tracing import Call, plain


@dataclass(frozen=True)
class Defect:
    """``what`` is wrong in which ``version``, and how to go round it. ``meets(call, settings, x)`` says whether a call
    with these settings meets it, ``x`` being its first input where that is at hand. ``proves``: the gradient is checked
    against differences before the defect is named."""

    name: str
    operation: str
    version: str
    what: str
    workaround: str
    meets: Callable[[Call, Mapping[str, Any], np.ndarray | None], bool]
    proves: bool = True


def _batch_statistics(call: Call, settings: Mapping[str, Any], x: np.ndarray | None) -> bool:
    del x
    given = call.arguments.get("use_global_stats", settings.get("_use_global_stats"))
    return given is False


def _without_weight(call: Call, settings: Mapping[str, Any], x: np.ndarray | None) -> bool:
    del settings, x
    return not any(name.endswith("weight") for name in call.inputs)


def _overflows(call: Call, settings: Mapping[str, Any], x: np.ndarray | None) -> bool:
    del call, settings
    return x is not None and bool((x < (-88.0 if x.dtype == np.float32 else -709.0)).any())


def _has_zeros(call: Call, settings: Mapping[str, Any], x: np.ndarray | None) -> bool:
    del call, settings
    return x is not None and bool((x == 0).any())


def _has_ties(call: Call, settings: Mapping[str, Any], x: np.ndarray | None) -> bool:
    del settings
    axis = call.arguments.get("axis")
    if x is None or not isinstance(axis, int) or not x.ndim:
        return False
    extreme = x.max(axis, keepdims=True) if "max" in call.operation else x.min(axis, keepdims=True)
    return bool(((x == extreme).sum(axis) > 1).any())


PADDLE = (
    Defect(
        "batch norm in evaluation mode", "batch_norm", "paddle 3.3.1",
        "BatchNorm with use_global_stats=False gives wrong gradients in evaluation mode",
        "call the layer's train() before it is evaluated with gradients, or use F.batch_norm(..., training=True)",
        _batch_statistics,
    ),
    Defect(
        "group norm without weight", "group_norm", "paddle 3.3.1",
        "GroupNorm without a weight (weight_attr=False) gives wrong gradients",
        "give it ones that are no parameter: F.group_norm(x, num_groups, weight=paddle.ones([channels], x.dtype))",
        _without_weight,
    ),
    Defect(
        "silu's gradient", "silu", "paddle 3.3.1",
        "silu's gradient is NaN below -88 in float32 and -709 in float64",
        "write x * F.sigmoid(x)",
        _overflows, proves=False,
    ),
    Defect(
        "leaky relu at zero", "leaky_relu", "paddle 3.3.1",
        "leaky_relu's gradient at exactly 0 is 1 in Paddle and the slope in torch",
        "write paddle.where(x > 0, x, slope * x)",
        _has_zeros, proves=False,
    ),
    Defect(
        "maximum among equals", "max", "paddle 3.3.1",
        "max along an axis shares its gradient among equal elements in Paddle; torch's gives it to one",
        "gather the element at argmax: paddle.take_along_axis(x, x.argmax(axis, keepdim=True), axis)",
        _has_ties, proves=False,
    ),
    Defect(
        "minimum among equals", "min", "paddle 3.3.1",
        "min along an axis shares its gradient among equal elements in Paddle; torch's gives it to one",
        "gather the element at argmin: paddle.take_along_axis(x, x.argmin(axis, keepdim=True), axis)",
        _has_ties, proves=False,
    ),
)  # fmt: skip
"""Of Paddle's gradients."""

CLIPPED = -64.0
"""Below the largest logit: what lies lower is taken to lie there."""
OF_SOFTMAX = {
    "log_softmax": "paddle 3.3.1: log_softmax takes logits that lie more than 64 below the largest to lie 64 below it;"
    " write x - paddle.logsumexp(x, axis, keepdim=True)",
    "cross_entropy": "paddle 3.3.1: cross_entropy takes logits that lie more than 64 below the largest to lie 64 below"
    " it; give F.nll_loss x - paddle.logsumexp(x, axis, keepdim=True)",
}
SECOND_ORDER = (
    "paddle 3.3.1: paddle.grad(..., create_graph=True) through a convolution gives the gradient of first order alone"
    " unless the gradient of the convolution's input is asked for too; put the input in the list:"
    " paddle.grad(loss, [*parameters, x], create_graph=True)[:-1]"
)
LP_POOL = (
    "torch's lp_pool takes a window over the edge for a whole one of the same mean, Paddle's sums what is there; pad"
    " the input and leave ceil_mode off on both sides"
)
"""A difference of the frameworks under ceil_mode; torch 2.13 leaves the documented formula."""
CRASHES = {
    "grid_sample": "paddle 3.3.1: grid_sample's backward pass ends the process where its input needs no gradient; set"
    " x.stop_gradient = False before it",
    "prelu": "paddle 3.3.1: prelu's backward pass ends the process where its input needs no gradient; set"
    " x.stop_gradient = False before it",
}
"""Calls of Paddle whose backward pass may end the process."""
OPTIMIZERS = {
    "optimizer_epsilon": "a difference of the frameworks: Paddle's RMSProp adds epsilon inside the root and its Adamax"
    " to the norm, torch's outside and to the gradient; a subclass of paddle.optimizer.SGD can follow torch",
}
"""Differences of the frameworks' optimizers, by the cause under which they show."""


def of_gradient(scene: Scene, x: np.ndarray | None) -> Defect | None:
    """The defect that the first call of a port's scene meets in its backward pass."""
    call = scene.call
    if scene.framework != "paddle" or call is None:
        return None
    settings = scene.attributes if call.path == scene.path else {}
    known = [d for d in PADDLE if plain(call.operation) == d.operation and d.meets(call, settings, x)]
    return known[0] if known else None
