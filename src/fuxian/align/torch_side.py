"""What recording needs of torch. ``paddle_side`` offers the same functions for Paddle."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.overrides import TorchFunctionMode, resolve_name

from fuxian.align.draws import Draws
from fuxian.align.tracing import Call, Tracer

NAME = "torch"
STATES = {"exp_avg": "moment1", "exp_avg_sq": "moment2", "momentum_buffer": "velocity", "sum": "sum",
          "square_avg": "square_average", "max_exp_avg_sq": "moment2_max", "exp_inf": "infinity_norm",
          "grad_avg": "gradient_average", "acc_delta": "delta_average"}  # fmt: skip
"""An optimizer's state under the names a recording uses."""


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Elements as numpy holds them; bfloat16 and the like as float32. May share the tensor's memory."""
    tensor = tensor.detach()
    if tensor.dtype not in _NUMPY:
        tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor.float()
    return tensor.cpu().resolve_neg().resolve_conj().numpy()


_NUMPY = {torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool}  # fmt: skip


def version(tensor: torch.Tensor) -> int:
    """A number that changes when the tensor is written in place."""
    return tensor._version


def element_type(tensor: torch.Tensor) -> str:
    """The element type's name, ``float32`` and so on."""
    return str(tensor.dtype).removeprefix("torch.")


def on_gradient(tensor: torch.Tensor, receive: Callable[[np.ndarray], None]) -> bool:
    """Call ``receive`` with the tensor's whole gradient in the backward pass. False where none will come."""
    if not tensor.requires_grad:
        return False
    tensor.register_hook(lambda gradient: receive(to_array(gradient)))
    return True


def seed(number: int) -> None:
    torch.manual_seed(number)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """While a model is built: a seed that the recipe sets is left out."""
    with mock.patch.object(torch, "manual_seed", lambda *_: torch.default_generator):
        yield


def environment() -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "default_dtype": str(torch.get_default_dtype()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": {
            "matmul": torch.backends.cuda.matmul.allow_tf32,
            "cudnn": torch.backends.cudnn.allow_tf32,
        },
    }


@contextlib.contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """What new tensors and layers are made of."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def cast(model: torch.nn.Module, dtype: str) -> None:
    """Every floating parameter and buffer in another precision."""
    model.to(getattr(torch, dtype))


def modules(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Every module with its path, the model itself as ``""``, in the order of definition."""
    return list(model.named_modules())


def tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor, str]]:
    """Every parameter and buffer: name, tensor, ``parameter`` or ``buffer``; a tied one under each name."""
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield prefix + name, parameter, "parameter"
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield prefix + name, buffer, "buffer"


def variances(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The batch norms, by the names of their running variances."""
    return {
        f"{path}.running_var" if path else "running_var": module
        for path, module in modules(model)
        if module._buffers.get("running_var") is not None
    }


def on_norms(model: torch.nn.Module, receive: Callable[[str, float], None]) -> None:
    """Tell of each batch norm that takes in a batch over how many elements a channel it averages."""
    for name, norm in variances(model).items():

        def told(module: Any, given: tuple, name: str = name) -> None:
            if module.training:
                receive(name, given[0].numel() / module.running_var.numel())

        norm.register_forward_pre_hook(told)


def trainable(tensor: torch.Tensor) -> bool:
    return tensor.requires_grad


def assign(tensor: torch.Tensor, array: np.ndarray) -> None:
    """Write an array into a parameter or buffer, in its own element type."""
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.require(array, requirements=["C", "W"])))


def set_training(model: torch.nn.Module, training: bool) -> None:
    model.train(training)


def gradient(tensor: torch.Tensor) -> np.ndarray | None:
    return None if tensor.grad is None else to_array(tensor.grad)


def clear_gradients(model: torch.nn.Module) -> None:
    model.zero_grad(set_to_none=True)


def backward_from(weights: list[tuple[torch.Tensor, np.ndarray]]) -> None:
    """Give each parameter the gradient beside it."""
    for parameter, array in weights:
        parameter.grad = torch.from_numpy(np.array(array)).to(parameter.dtype)


def scalar(tensor: Any) -> float:
    return float(tensor.detach()) if isinstance(tensor, torch.Tensor) else float(tensor)


def groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The parameter groups: settings, and the tensors under ``params``."""
    return [
        {**{k: v for k, v in group.items() if k != "params"}, "params": list(group["params"])}
        for group in optimizer.param_groups
    ]


def learning_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The rate that each group is stepped with now."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def use_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Step with this rate whatever the schedule says; groups keep their rates' proportions."""
    rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    for group, own in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * (own / max(rates) if max(rates) > 0 else 1.0)


def optimizer_step(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()


def optimizer_state(optimizer: torch.optim.Optimizer) -> Iterator[tuple[torch.Tensor, str, np.ndarray]]:
    """Each parameter's states: parameter, the state's name, elements."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and name in STATES:
                yield parameter, STATES[name], to_array(value)


GETTERS = {"T", "mT", "H", "mH", "data", "real", "imag", "grad"}
SILENT = {"backward", "register_hook", "numpy", "requires_grad_", "retain_grad", "__repr__", "item", "tolist",
          "manual_seed", "tensor", "as_tensor", "from_numpy", "__len__", "size", "dim", "is_floating_point",
          "zero_", "cpu", "cuda", "contiguous"}  # fmt: skip


class _Calls(TorchFunctionMode):
    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        short = getattr(func, "__name__", "")
        if self.tracer.inside or short in SILENT:
            return func(*args, **kwargs)
        name = resolve_name(func) or f"torch.{short}"
        if short == "__get__" and name.split(".")[-2] not in GETTERS:
            return func(*args, **kwargs)
        return self.tracer.call(name, func, args, kwargs)


def installed() -> contextlib.AbstractContextManager[None]:
    """Nothing need be installed: torch tells of every function call (Paddle's counterpart replaces functions)."""
    return contextlib.nullcontext()


def adopt(model: torch.nn.Module) -> None:
    """Nothing need be done: calls are followed whoever holds the function."""


@contextlib.contextmanager
def following(tracer: Tracer) -> Iterator[None]:
    """While open, module calls and calls between them are noted by the tracer."""
    original = torch.nn.Module.__call__

    def call(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        return tracer.module(module, original, args, kwargs)

    with mock.patch.object(torch.nn.Module, "__call__", call), _Calls(tracer):
        yield


@contextlib.contextmanager
def sharing_draws(draws: Draws, tracer: Tracer | None) -> Iterator[None]:
    """While open, torch's random functions give the shared draws."""
    functional, tensor_class = torch.nn.functional, torch.Tensor

    def through(name: str, function: Callable) -> Callable:
        def drawn(*args: Any, **kwargs: Any) -> Any:
            if tracer is None:
                return function(*args, **kwargs)
            return tracer.call(name, function, args, kwargs)

        return drawn

    def made(
        array: np.ndarray, like: torch.Tensor | None = None, dtype: Any = None, **_: Any
    ) -> torch.Tensor:
        if dtype is None:
            dtype = like.dtype if like is not None else torch.get_default_dtype()
        return torch.from_numpy(np.array(array)).to(dtype)

    def sizes(size: tuple) -> tuple[int, ...]:
        return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size

    def dropout_over(axes: int | None) -> Callable:
        def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
            if not training or p == 0.0:
                return input
            shape = input.shape if axes is None else (*input.shape[:axes], *(1 for _ in input.shape[axes:]))
            factor = made(draws.kept(shape, p) / (1.0 - p) if p < 1 else np.zeros(shape), input)
            return input.mul_(factor) if inplace else input * factor

        return dropout

    attention = functional.scaled_dot_product_attention

    def scaled_dot_product_attention(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        if dropout_p == 0.0 or enable_gqa:
            return attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = torch.softmax(scores, -1)
        return weights * made(draws.kept(weights.shape, dropout_p) / (1.0 - dropout_p), weights) @ value

    def written(tensor: Any, array: np.ndarray) -> Any:
        with torch.no_grad():
            return tensor.copy_(torch.from_numpy(np.array(array)))

    replaced: list[tuple[Any, str, Callable]] = [
        (functional, "dropout", dropout_over(None)),
        (functional, "dropout1d", dropout_over(2)),
        (functional, "dropout2d", dropout_over(2)),
        (functional, "dropout3d", dropout_over(2)),
        (functional, "scaled_dot_product_attention", scaled_dot_product_attention),
        (torch, "dropout", dropout_over(None)),
        (torch, "rand", lambda *size, **k: made(draws.uniform(sizes(size or (k.get("size"),))), **k)),
        (torch, "randn", lambda *size, **k: made(draws.normal(sizes(size or (k.get("size"),))), **k)),
        (torch, "rand_like", lambda x, **k: made(draws.uniform(x.shape), x, **k)),
        (torch, "randn_like", lambda x, **k: made(draws.normal(x.shape), x, **k)),
        (torch, "bernoulli", lambda x, *a, **k: made(draws.bernoulli(to_array(x)), x)),
        (
            torch,
            "randint",
            lambda *a, **k: made(
                draws.integers(a[0] if len(a) > 2 else 0, a[-2], a[-1]), dtype=k.get("dtype", torch.int64)
            ),
        ),
        (torch, "randperm", lambda n, **k: made(draws.permutation(n), dtype=torch.int64)),
        (tensor_class, "bernoulli_", lambda x, p=0.5, **k: written(x, draws.bernoulli(np.full(x.shape, p)))),
        (
            tensor_class,
            "uniform_",
            lambda x, low=0.0, high=1.0, **k: written(x, low + (high - low) * draws.uniform(x.shape)),
        ),
        (
            tensor_class,
            "normal_",
            lambda x, mean=0.0, std=1.0, **k: written(x, mean + std * draws.normal(x.shape)),
        ),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, function in replaced:
            full = f"{'torch.Tensor' if owner is tensor_class else owner.__name__}.{name}"
            stack.enter_context(mock.patch.object(owner, name, through(full, function)))
        yield


def ends_process(tracer: Tracer) -> tuple[Call, str] | None:
    """None of torch's calls is known to end the process."""
    del tracer
    return None


def recurrent(model: torch.nn.Module) -> list[Any]:
    """Layers that run a whole sequence in one kernel, their dropout included."""
    return [module for module in model.modules() if isinstance(module, torch.nn.RNNBase)]
