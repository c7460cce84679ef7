"""What recording needs of Paddle: the same functions as ``torch_side``.

Paddle has no hook for function calls, so while a recipe is recorded its public functions and tensor methods are
replaced by ones that tell the tracer, wherever a module outside Paddle holds them, and put back afterwards.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import paddle

from fuxian.align import faults
from fuxian.align.defects import CRASHES
from fuxian.align.draws import Draws
from fuxian.align.tracing import Call, Tracer

NAME = "paddle"
STATES = {"moment1": "moment1", "moment2": "moment2", "velocity": "velocity", "moment": "sum",
          "moment2_max": "moment2_max", "mean_square": "square_average", "mean_grad": "gradient_average",
          "momentum": "velocity", "inf_norm": "infinity_norm", "_avg_squared_grad": "square_average",
          "_avg_squared_update": "delta_average"}  # fmt: skip
"""An optimizer's state under the names a recording uses."""


def is_tensor(value: Any) -> bool:
    return isinstance(value, paddle.Tensor)


def to_array(tensor: paddle.Tensor) -> np.ndarray:
    """Elements as numpy holds them; bfloat16 as float32."""
    tensor = tensor.detach()
    if tensor.dtype == paddle.bfloat16:
        tensor = tensor.cast("float32")
    array = tensor.numpy()
    return np.stack([array.real, array.imag], -1) if array.dtype.kind == "c" else array


def version(tensor: paddle.Tensor) -> int:
    """A number that changes when the tensor is written in place."""
    return tensor.inplace_version


def element_type(tensor: paddle.Tensor) -> str:
    """The element type's name, ``float32`` and so on."""
    return str(tensor.dtype).removeprefix("paddle.")


def on_gradient(tensor: paddle.Tensor, receive: Callable[[np.ndarray], None]) -> bool:
    """Call ``receive`` with the tensor's whole gradient in the backward pass. False where none will come."""
    if tensor.stop_gradient:
        return False
    tensor.register_hook(lambda gradient: receive(to_array(gradient)))
    return True


def seed(number: int) -> None:
    paddle.seed(number)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """While a model is built: names of parameters count from the start, so that a fixed one can be given again, and
    a seed that the recipe sets is left out."""
    with paddle.utils.unique_name.guard(), mock.patch.object(paddle, "seed", lambda *_: None):
        yield


FLAGS = ("FLAGS_cudnn_deterministic", "FLAGS_cudnn_allow_tf32", "FLAGS_cublas_allow_tf32", "FLAGS_use_onednn",
         "FLAGS_embedding_deterministic", "FLAGS_check_nan_inf", "FLAGS_use_cinn")  # fmt: skip


def environment() -> dict[str, Any]:
    flags = {}
    for name in FLAGS:
        with contextlib.suppress(ValueError):
            flags[name] = paddle.get_flags(name)[name]
    return {
        "paddle": paddle.__version__,
        "default_dtype": paddle.get_default_dtype(),
        "device": paddle.get_device(),
        "flags": flags,
    }


@contextlib.contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """What new tensors and layers are made of."""
    before = paddle.get_default_dtype()
    paddle.set_default_dtype(dtype)
    try:
        yield
    finally:
        paddle.set_default_dtype(before)


def cast(model: paddle.nn.Layer, dtype: str) -> None:
    """Every floating parameter and buffer in another precision. Layers that have it already are left alone:
    casting again breaks a recurrent layer's flattened weights."""
    for layer in model.sublayers(include_self=True):
        held = [*layer._parameters.values(), *layer._buffers.values()]
        if any(t is not None and t.is_floating_point() and element_type(t) != dtype for t in held):
            layer._to_impl(dtype=dtype, include_sublayers=False, floating_only=True)


def modules(model: paddle.nn.Layer) -> list[tuple[str, paddle.nn.Layer]]:
    """Every layer with its path, the model itself as ``""``, in the order of definition."""
    return list(model.named_sublayers(include_self=True))


def tensors(model: paddle.nn.Layer) -> Iterator[tuple[str, paddle.Tensor, str]]:
    """Every parameter and buffer: name, tensor, ``parameter`` or ``buffer``; a tied one under each name.

    Running statistics, which Paddle lists as parameters, are buffers here.
    """
    for path, layer in modules(model):
        prefix = f"{path}." if path else ""
        statistics = {name for name in ("_mean", "_variance") if "Norm" in type(layer).__name__}
        for name, parameter in layer._parameters.items():
            if parameter is not None:
                frozen = name in statistics and parameter.stop_gradient
                yield prefix + name, parameter, "buffer" if frozen else "parameter"
        for name, buffer in layer._buffers.items():
            if buffer is not None:
                yield prefix + name, buffer, "buffer"


def variances(model: paddle.nn.Layer) -> dict[str, paddle.nn.Layer]:
    """The batch norms, by the names of their running variances."""
    return {
        f"{path}._variance" if path else "_variance": layer
        for path, layer in modules(model)
        if "_variance" in layer._parameters
    }


def on_norms(model: paddle.nn.Layer, receive: Callable[[str, float], None]) -> None:
    """Tell of each batch norm that takes in a batch over how many elements a channel it averages."""
    for name, norm in variances(model).items():

        def told(layer: paddle.nn.Layer, given: tuple, name: str = name) -> None:
            if layer.training:
                receive(name, given[0].size / layer._variance.size)

        norm.register_forward_pre_hook(told)


def trainable(tensor: paddle.Tensor) -> bool:
    return not tensor.stop_gradient


def assign(tensor: paddle.Tensor, array: np.ndarray) -> None:
    """Write an array into a parameter or buffer, in its own element type."""
    tensor.set_value(np.asarray(array, dtype=element_type(tensor)))


def set_training(model: paddle.nn.Layer, training: bool) -> None:
    if training:
        model.train()
    else:
        model.eval()


def gradient(tensor: paddle.Tensor) -> np.ndarray | None:
    return None if tensor.grad is None else to_array(tensor.grad)


def clear_gradients(model: paddle.nn.Layer) -> None:
    for _, tensor, kind in tensors(model):
        if kind == "parameter":
            tensor.clear_gradient(False)


def backward_from(weights: list[tuple[paddle.Tensor, np.ndarray]]) -> None:
    """Give each parameter the gradient beside it."""
    for parameter, array in weights:
        parameter.clear_gradient(False)
        parameter.grad = paddle.to_tensor(np.array(array), dtype=parameter.dtype)


def scalar(tensor: Any) -> float:
    return float(tensor)


def groups(optimizer: Any) -> list[dict[str, Any]]:
    """The parameter groups: settings, and the tensors under ``params``."""
    listed = optimizer._param_groups
    if not listed or not isinstance(listed[0], dict):
        decay = getattr(optimizer, "regularization", None)
        named = {"weight_decay": decay._coeff} if isinstance(decay, paddle.regularizer.L2Decay) else {}
        return [{**named, "params": list(optimizer._parameter_list or [])}]
    return [
        {**{k: v for k, v in group.items() if k != "params"}, "params": list(group["params"])}
        for group in listed
    ]


def learning_rates(optimizer: Any) -> list[float]:
    """The rate that each group is stepped with now."""
    rate = float(optimizer.get_lr())
    return [
        rate * float(group["params"][0].optimize_attr.get("learning_rate", 1.0)) if group["params"] else rate
        for group in groups(optimizer)
    ]


def use_rate(optimizer: Any, rate: float) -> None:
    """Step with this rate whatever the schedule says; groups keep their rates' proportions."""
    shares = [
        float(group["params"][0].optimize_attr.get("learning_rate", 1.0)) if group["params"] else 1.0
        for group in groups(optimizer)
    ]
    base = rate / (max(shares) or 1.0)
    if hasattr(optimizer, "_initial_learning_rate"):  # Rprop's: each parameter's own rate starts from it.
        optimizer._initial_learning_rate = base
    if isinstance(optimizer._learning_rate, paddle.optimizer.lr.LRScheduler):
        optimizer.set_lr_scheduler(paddle.optimizer.lr.LambdaDecay(base, lambda _: 1.0))
    else:
        optimizer.set_lr(base)


def optimizer_step(optimizer: Any) -> None:
    optimizer.step()


def optimizer_state(optimizer: Any) -> Iterator[tuple[paddle.Tensor, str, np.ndarray]]:
    """Each parameter's states: parameter, the state's name, elements."""
    by_name = {parameter.name: parameter for group in groups(optimizer) for parameter in group["params"]}
    for state, held in getattr(optimizer, "_accumulators", {}).items():
        for name, value in held.items():
            if state in STATES and name in by_name:
                yield by_name[name], STATES[state], to_array(value)


class _State:
    """What the replaced functions consult: nothing happens while there is neither tracer nor draws."""

    tracer: Tracer | None = None
    draws: Draws | None = None
    told: ClassVar[dict[int, Callable]] = {}


_PLAIN = {"seed", "manual_seed", "save", "load", "async_save", "summary", "flops", "to_tensor", "as_tensor",
          "asarray", "create_parameter", "batch", "finfo", "iinfo", "broadcast_shape", "broadcast_shapes",
          "check_shape", "tolist", "shape", "numel", "rank", "new_init", "use_compat_guard", "from_numpy",
          "from_dlpack", "to_dlpack", "autocast", "clear_async_save_task_queue"}  # fmt: skip
_PLAIN_PREFIXES = ("is_", "set_", "get_", "enable_", "disable_", "monkey_", "in_")
_METHODS_BESIDE = ("__abs__", "__add__", "__and__", "__div__", "__eq__", "__floordiv__", "__ge__", "__getitem__",
                   "__gt__", "__invert__", "__le__", "__lt__", "__matmul__", "__mod__", "__mul__", "__ne__",
                   "__neg__", "__or__", "__pow__", "__radd__", "__rdiv__", "__rmatmul__", "__rmul__", "__rpow__",
                   "__rsub__", "__rtruediv__", "__setitem__", "__sub__", "__truediv__", "__xor__")  # fmt: skip
_TOLD_PROPERTIES = ("T", "mT")
_PLAIN_METHODS = {"numpy", "item", "backward", "register_hook", "clear_grad", "clear_gradient", "gradient", "dim",
                  "ndimension", "data_ptr", "element_size", "requires_grad_", "retain_grads", "set_value", "value",
                  "apply", "apply_", "contiguous", "cpu", "cuda", "pin_memory", "stride", "get_strides", "nnz",
                  "reconstruct_from_", "get_tensor", "type", "block", "numel", "tolist", "size", "zero_"}  # fmt: skip


def _public_functions() -> Iterator[tuple[Any, str, str, Callable]]:
    spaces = [paddle.nn.functional, paddle, paddle.linalg, paddle.fft, paddle.incubate.nn.functional,
              paddle.vision.ops, paddle.signal, paddle.geometric, paddle.incubate]  # fmt: skip
    for module in spaces:
        for name in dir(module):
            function = getattr(module, name)
            if (
                isinstance(function, (types.FunctionType, types.BuiltinFunctionType))
                and not name.startswith(("_", *_PLAIN_PREFIXES))
                and name not in _PLAIN
            ):
                yield module, name, f"{module.__name__}.{name}", function
    for name in dir(paddle.Tensor):
        method = getattr(paddle.Tensor, name)
        if not callable(method) or isinstance(method, type) or name in _PLAIN_METHODS:
            continue
        if name in _METHODS_BESIDE or not name.startswith(("_", *_PLAIN_PREFIXES)):
            yield paddle.Tensor, name, f"paddle.Tensor.{name}", method


def _telling(name: str, function: Callable, drawn: Callable | None) -> Callable:
    """The function, telling the tracer if there is one, with shared draws if there are any."""

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        run = drawn if drawn is not None and _State.draws is not None else function
        tracer = _State.tracer
        if tracer is None or tracer.inside:
            return run(*args, **kwargs)
        return tracer.call(name, run, args, kwargs)

    return told


class _Replaced:
    """Replaces functions wherever they are held, and puts them back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        before = getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, before))

    def item(self, held: Any, key: Any, value: Any) -> None:
        before = held[key]
        held[key] = value
        self._undo.append(lambda: held.__setitem__(key, before))

    def partial(self, held: functools.partial, told: Callable) -> None:
        state: Any = held  # typeshed does not know that a partial has a state
        before = state.__reduce__()[2]
        state.__setstate__((told, *before[1:]))
        self._undo.append(lambda: state.__setstate__(before))

    def restore(self) -> None:
        while self._undo:
            self._undo.pop()()


def _is_port_code(file: str) -> bool:
    return "site-packages" not in file and not file.startswith((sys.base_prefix + "/lib/python", "<"))


def _replace_held(told: dict[int, Callable], replaced: _Replaced, drawn: set[int]) -> None:
    """Replace the functions wherever the port's code holds them: in modules, in dicts and lists of modules, in
    closures and defaults of functions, in partials. Random ones (``drawn``) in Paddle's own modules too."""
    own = Path(__file__).parent
    for module in list(sys.modules.values()):
        held = getattr(module, "__dict__", None)
        file = getattr(module, "__file__", None) or "<"
        name_of = getattr(module, "__name__", "") or ""
        # Paddle's own attention calls its functions as paddle.tensor's.
        inside = name_of.startswith("paddle.") and name_of != "paddle.tensor"
        theirs = _is_port_code(file) and Path(file).parent != own
        if held is None or not (inside or theirs or name_of == "paddle.tensor"):
            continue
        for name, value in list(held.items()):
            if id(value) in told and (not inside or id(value) in drawn):
                replaced.item(held, name, told[id(value)])
            elif not inside and type(value) in (dict, list) and not name.startswith("__"):
                for key, part in list(value.items() if isinstance(value, dict) else enumerate(value)):
                    if id(part) in told:
                        replaced.item(value, key, told[id(part)])
    cells = {id(cell) for function in told.values() for cell in function.__closure__ or ()}
    for held in gc.get_objects():
        if type(held) is functools.partial:
            if id(held.func) in told:
                replaced.partial(held, told[id(held.func)])
        elif type(held) is types.FunctionType and _is_port_code(held.__code__.co_filename):
            if any(id(value) in told for value in held.__defaults__ or ()):
                changed = tuple(told.get(id(value), value) for value in held.__defaults__ or ())
                replaced.attribute(held, "__defaults__", changed)
            for name, value in (held.__kwdefaults__ or {}).items():
                if id(value) in told:
                    replaced.item(held.__kwdefaults__, name, told[id(value)])
            for cell in held.__closure__ or ():
                if id(cell) not in cells and cell != _EMPTY and id(cell.cell_contents) in told:
                    replaced.attribute(cell, "cell_contents", told[id(cell.cell_contents)])


_EMPTY = types.CellType()


def _own_faults() -> None:
    """Paddle's signal handlers go, so that what ended the process can be told."""
    if faults.FAULTS in os.environ:
        paddle.disable_signal_handler()
        faults.keep()


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """While open, Paddle's public functions tell the tracer. Models are built and run inside, because a model
    may keep a function it was given (``self.act = F.relu``)."""
    _own_faults()
    drawn = {id(getattr(owner, name)): function for owner, name, function in _drawn()}
    told: dict[int, Callable] = {}
    replaced = _Replaced()
    public = list(_public_functions())
    for _, _, full, function in public:
        if id(function) not in told:
            told[id(function)] = _telling(full, function, drawn.get(id(function)))
    call = paddle.nn.Layer.__call__

    def follow(layer: paddle.nn.Layer, *args: Any, **kwargs: Any) -> Any:
        tracer = _State.tracer
        return call(layer, *args, **kwargs) if tracer is None else tracer.module(layer, call, args, kwargs)

    try:
        _replace_held(told, replaced, set(drawn))
        for owner, name, _, function in public:
            replaced.attribute(owner, name, told[id(function)])
        for name in _TOLD_PROPERTIES:
            read = getattr(paddle.Tensor, name).fget
            replaced.attribute(paddle.Tensor, name, property(_telling(f"paddle.Tensor.{name}", read, None)))
        replaced.attribute(paddle.nn.Layer, "__call__", follow)
        _State.told = told
        with warnings.catch_warnings():
            # Said at every batch norm in training mode, whatever its settings.
            warnings.filterwarnings("ignore", message="When training, we now always track")
            yield
    finally:
        _State.told = {}
        replaced.restore()


def adopt(model: paddle.nn.Layer) -> None:
    """Replace Paddle's functions among the layers' own attributes, for those that were handed in from outside or
    kept before ``installed``."""
    for layer in model.sublayers(include_self=True):
        for name, value in list(vars(layer).items()):
            vars(layer)[name] = _adopted(value)


def _adopted(value: Any) -> Any:
    if type(value) in (list, tuple):
        parts = [_State.told.get(id(part), part) for part in value]
        return type(value)(parts) if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    if type(value) is dict:
        for key, part in value.items():
            value[key] = _State.told.get(id(part), part)
        return value
    return _State.told.get(id(value), value)


@contextlib.contextmanager
def following(tracer: Tracer) -> Iterator[None]:
    """While open, module calls and calls between them are noted by the tracer."""
    _State.tracer = tracer
    try:
        yield
    finally:
        _State.tracer = None


@contextlib.contextmanager
def sharing_draws(draws: Draws, tracer: Tracer | None) -> Iterator[None]:
    """While open, Paddle's random functions give the shared draws."""
    _State.draws = draws
    try:
        yield
    finally:
        _State.draws = None


def _tensor(array: np.ndarray, dtype: Any = None) -> paddle.Tensor:
    return paddle.to_tensor(np.array(array), dtype=dtype or paddle.get_default_dtype())


def _draws() -> Draws:
    assert _State.draws is not None  # noqa: S101
    return _State.draws


def _sizes(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, paddle.Tensor):
        shape = shape.numpy().tolist()
    return tuple(int(size) for size in shape) if isinstance(shape, (list, tuple)) else (int(shape),)


def _dropout(
    x: Any, p: float = 0.5, axis: Any = None, training: bool = True, mode: str = "upscale_in_train", **_: Any
) -> Any:
    p = float(p)
    if not training:
        return x * (1.0 - p) if mode == "downscale_in_infer" else x
    if p == 0.0:
        return x
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    axes = {a % x.ndim for a in axes}
    shape = [size if place in axes else 1 for place, size in enumerate(x.shape)]
    kept = _draws().kept(shape, p)
    if mode == "upscale_in_train":
        kept = kept / (1.0 - p) if p < 1.0 else np.zeros(shape)
    return x * _tensor(kept, x.dtype)


def _dropout_channels(x: Any, p: float = 0.5, training: bool = True, *rest: Any, **named: Any) -> Any:
    layout = next(
        (part for part in (*rest, *named.values()) if isinstance(part, str) and part[:1] == "N"), "NC"
    )
    return _dropout(x, p, [0, layout.index("C") if len(layout) == x.ndim else 1], training)


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    training: bool = True,
    *rest: Any,
    **named: Any,
) -> Any:
    if dropout_p == 0.0 or not training:
        return _ORIGINAL_ATTENTION(
            query, key, value, attn_mask, dropout_p, is_causal, training, *rest, **named
        )
    query, key, value = (part.transpose([0, 2, 1, 3]) for part in (query, key, value))
    scores = query.matmul(key, transpose_y=True) * query.shape[-1] ** -0.5
    if is_causal:
        causal = paddle.ones(scores.shape[-2:], dtype="bool").tril()
        scores = paddle.where(causal, scores, paddle.full_like(scores, float("-inf")))
    if attn_mask is not None and attn_mask.dtype == paddle.bool:
        scores = paddle.where(attn_mask, scores, paddle.full_like(scores, float("-inf")))
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = paddle.nn.functional.softmax(scores)
    return _dropout(weights, dropout_p).matmul(value).transpose([0, 2, 1, 3])


_ORIGINAL_ATTENTION = paddle.nn.functional.scaled_dot_product_attention


def _bernoulli(x: Any, p: Any = None, name: Any = None) -> Any:
    del name
    return _tensor(_draws().bernoulli(np.full(x.shape, p) if p is not None else to_array(x)), x.dtype)


def _uniform(shape: Any, dtype: Any = None, min: float = -1.0, max: float = 1.0, *_: Any, **__: Any) -> Any:
    return _tensor(min + (max - min) * _draws().uniform(_sizes(shape)), dtype)


def _normal(mean: Any = 0.0, std: Any = 1.0, shape: Any = None, name: Any = None) -> Any:
    del name
    size = _sizes(shape) if shape is not None else tuple((mean if is_tensor(mean) else std).shape)
    return _tensor(_draws().normal(size)) * std + mean


def _randint(low: int = 0, high: int | None = None, shape: Any = (1,), dtype: Any = None, **_: Any) -> Any:
    low, high = (0, low) if high is None else (low, high)
    return _tensor(_draws().integers(low, high, _sizes(shape)), dtype or "int64")


def _written(tensor: Any, array: np.ndarray) -> Any:
    tensor.set_value(np.asarray(array, dtype=element_type(tensor)))
    return tensor


def _shape_of(size: tuple, named: dict) -> tuple[int, ...]:
    if not size:
        return _sizes(named.get("shape", named.get("size")))
    return _sizes(size[0]) if isinstance(size[0], (list, tuple, paddle.Tensor)) else _sizes([*size])


def _drawn() -> list[tuple[Any, str, Callable]]:
    """Paddle's random functions, and what replaces each while draws are shared."""
    functional, tensor = paddle.nn.functional, paddle.Tensor
    return [
        (functional, "dropout", _dropout),
        (functional, "dropout1d", _dropout_channels),
        (functional, "dropout2d", _dropout_channels),
        (functional, "dropout3d", _dropout_channels),
        (functional, "scaled_dot_product_attention", _attention),
        (paddle, "rand", lambda *s, **k: _tensor(_draws().uniform(_shape_of(s, k)), k.get("dtype"))),
        (paddle, "randn", lambda *s, **k: _tensor(_draws().normal(_shape_of(s, k)), k.get("dtype"))),
        (
            paddle,
            "standard_normal",
            lambda shape, dtype=None, **_: _tensor(_draws().normal(_sizes(shape)), dtype),
        ),
        (
            paddle,
            "rand_like",
            lambda x, *_, **k: _tensor(_draws().uniform(x.shape), k.get("dtype") or x.dtype),
        ),
        (
            paddle,
            "randn_like",
            lambda x, *_, **k: _tensor(_draws().normal(x.shape), k.get("dtype") or x.dtype),
        ),
        (paddle, "uniform", _uniform),
        (paddle, "normal", _normal),
        (paddle, "bernoulli", _bernoulli),
        (paddle, "randint", _randint),
        (paddle, "randperm", lambda n, dtype="int64", **_: _tensor(_draws().permutation(n), dtype)),
        (tensor, "bernoulli_", lambda x, p=0.5, *_: _written(x, _draws().bernoulli(np.full(x.shape, p)))),
        (
            tensor,
            "uniform_",
            lambda x, min=-1.0, max=1.0, *_: _written(x, min + (max - min) * _draws().uniform(x.shape)),
        ),
        (
            tensor,
            "normal_",
            lambda x, mean=0.0, std=1.0, *_: _written(x, mean + std * _draws().normal(x.shape)),
        ),
    ]


def ends_process(tracer: Tracer) -> tuple[Call, str] | None:
    """The first call whose backward pass is known to end the process, and why."""

    def flows(name: str) -> bool:
        return name not in tracer.cut and not name.startswith(("inputs.", "targets.")) and ".c" not in name

    for call in tracer.calls:
        known = CRASHES.get(call.operation)
        if known is not None and len(call.inputs) > 1 and not flows(call.inputs[0]) and flows(call.inputs[1]):
            return call, known
    return None


def recurrent(model: paddle.nn.Layer) -> list[Any]:
    """Layers that run a whole sequence in one kernel, their dropout included."""
    return [
        module
        for module in model.sublayers(include_self=True)
        if isinstance(module, paddle.nn.layer.rnn.RNNBase)
    ]
