"""Square roots that are the same on every processor: for the portable numeric mode.

Paddle's float32 square root refines an approximation that the processor gives (``rsqrtps``), of which makers and
generations of processors have tables of their own: up to 3 units in the last place apart. In float64 it asks the
processor for the root itself, which IEEE 754 fixes. So where a root is taken, the operator computes in float64, and its
results are rounded: roots, normalisation by a batch, and the optimizers that divide by a root.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

ROOTS = ("acosh", "asinh", "norm", "rsqrt", "sqrt")
"""Operators that take a root, or whose derivative does."""
NORMS = ("batch_norm", "instance_norm")
UPDATES = ("adadelta_", "adagrad_", "adam_", "adamw_", "nadam_", "radam_", "rmsprop_")
"""Operators that change their arguments: parameters and moments."""


@contextmanager
def exact_roots() -> Iterator[None]:
    """Within it, Paddle's operators that take float32 square roots compute in float64."""
    from paddle import _C_ops

    replaced = []
    for name in (*ROOTS, *NORMS, *UPDATES):
        operator = getattr(_C_ops, name)
        made = _updating(operator) if name in UPDATES else _rounded(operator, name == "batch_norm")
        made.in_float32 = operator  # type: ignore[attr-defined]
        replaced.append((name, operator, made))
    for name, operator, made in replaced:
        _put_in_place(name, operator, made)
    try:
        yield
    finally:
        for name, operator, made in replaced:
            _put_in_place(name, made, operator)


def fingerprint() -> str:
    """What this processor's approximate roots are known by: bits of operators that are not among those made exact, such
    as other people's, may differ where it does."""
    import paddle
    from paddle import _C_ops

    native = getattr(_C_ops.rsqrt, "in_float32", _C_ops.rsqrt)
    numbers = paddle.to_tensor(np.geomspace(1e-6, 1e6, 4096, dtype=np.float32))
    return hashlib.sha256(native(numbers).numpy().tobytes()).hexdigest()[:16]


def _put_in_place(name: str, operator: Callable[..., Any], made: Callable[..., Any]) -> None:
    """Some of Paddle's modules have taken the operator itself, others look it up."""
    for module in [module for at, module in sys.modules.items() if at.split(".")[0] == "paddle"]:
        if vars(module).get(name) is operator:
            setattr(module, name, made)


def _rounded(operator: Callable[..., Any], running: bool) -> Callable[..., Any]:
    """``operator`` in float64, its results in float32; ``running`` says that its second and third arguments are running
    statistics, which it changes."""

    def computed(*arguments: Any, **named: Any) -> Any:
        import paddle

        first = next(iter((*arguments, *named.values())))
        if first.dtype != paddle.float32 or named.get("out") is not None:
            return operator(*arguments, **named)
        wide = [_widened(one) for one in arguments]
        made = operator(*wide, **{name: _widened(one) for name, one in named.items()})
        if running:
            _store(arguments[1:3], wide[1:3])
        if isinstance(made, list | tuple):
            return type(made)(_narrowed(one) for one in made)
        return _narrowed(made)

    return computed


def _updating(operator: Callable[..., Any]) -> Callable[..., Any]:
    """``operator``, which changes its arguments, in float64."""

    def computed(*arguments: Any, **named: Any) -> Any:
        import paddle

        if arguments[0].dtype != paddle.float32:
            return operator(*arguments, **named)
        with paddle.no_grad():
            wide = [_widened(one) for one in arguments]
            made = operator(*wide, **named)
            _store(arguments, wide)
        return made

    return computed


def _widened(one: Any) -> Any:
    import paddle

    return one.astype("float64") if isinstance(one, paddle.Tensor) and one.dtype == paddle.float32 else one


def _narrowed(one: Any) -> Any:
    import paddle

    wide = isinstance(one, paddle.Tensor) and one._is_initialized() and one.dtype == paddle.float64
    return one.astype("float32") if wide else one


def _store(places: Any, values: Any) -> None:
    """What float64 copies have become, in the float32 tensors that they are of."""
    import paddle

    with paddle.no_grad():
        for place, value in zip(places, values, strict=True):
            if place is not value:
                paddle.assign(value.astype("float32"), output=place)
