"""The operations of neural networks in numpy, float64: each takes the recorded tensors and one set of settings.

Written for trying hypotheses on small tensors. Layout is channels first, a linear weight is (out, in).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from scipy import special

LARGEST = 5e8
"""Multiplications beyond which an operation is not tried."""


def spread(value: Any, count: int) -> tuple[int, ...]:
    """One number for each spatial axis."""
    if isinstance(value, (list, tuple)):
        return tuple(int(v) for v in value) if len(value) == count else (int(value[0]),) * count
    return (int(value),) * count


def pads(
    padding: Any, count: int, kernel: tuple, stride: tuple, dilation: tuple, sizes: tuple
) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis."""
    if isinstance(padding, str):
        if padding.lower() == "valid":
            return [(0, 0)] * count
        found = []
        for k, s, d, size in zip(kernel, stride, dilation, sizes, strict=True):
            total = max((math.ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
            found.append((total // 2, total - total // 2))
        return found
    if isinstance(padding, (list, tuple)) and len(padding) == 2 * count:
        return [(int(padding[2 * i]), int(padding[2 * i + 1])) for i in range(count)]
    if isinstance(padding, (list, tuple)) and padding and isinstance(padding[0], (list, tuple)):
        return [(int(a), int(b)) for a, b in padding[-count:]]
    return [(p, p) for p in spread(padding, count)]


def _padded(x: np.ndarray, sides: list[tuple[int, int]], mode: str, value: float = 0.0) -> np.ndarray:
    widths = [(0, 0), (0, 0), *sides]
    names = {
        "zeros": "constant",
        "constant": "constant",
        "reflect": "reflect",
        "replicate": "edge",
        "circular": "wrap",
    }
    if names[mode] == "constant":
        return np.pad(x, widths, constant_values=value)
    return np.pad(x, widths, mode=names[mode])  # type: ignore[call-overload]


def convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, s: dict[str, Any]) -> np.ndarray:
    """Cross-correlation over any number of spatial axes."""
    count = x.ndim - 2
    kernel = weight.shape[2:]
    stride, dilation = spread(s.get("stride", 1), count), spread(s.get("dilation", 1), count)
    groups = int(s.get("groups", 1))
    sides = pads(s.get("padding", 0), count, kernel, stride, dilation, x.shape[2:])
    x = _padded(x, sides, s.get("padding_mode", "zeros"))
    sizes = [(x.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(count)]
    if min(sizes) < 1 or x.shape[1] != weight.shape[1] * groups:
        raise ValueError("the weight does not fit")
    if weight.size * x.shape[0] * math.prod(sizes) > LARGEST:
        raise ValueError("too large")
    grouped = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    weights = weight.reshape(groups, -1, *weight.shape[1:])
    out = np.zeros((x.shape[0], groups, weights.shape[1], *sizes))
    for tap in product(*(range(k) for k in kernel)):
        window = tuple(
            slice(t * d, t * d + st * (n - 1) + 1, st)
            for t, d, st, n in zip(tap, dilation, stride, sizes, strict=True)
        )
        out += np.einsum(
            "ngc...,goc->ngo...", grouped[(slice(None),) * 3 + window], weights[(slice(None),) * 3 + tap]
        )
    out = out.reshape(x.shape[0], -1, *sizes)
    return out if bias is None else out + bias.reshape(-1, *[1] * count)


def transposed_convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, s: dict[str, Any]
) -> np.ndarray:
    """The transpose of ``convolution``; the weight is (in, out, ...)."""
    count = x.ndim - 2
    kernel = weight.shape[2:]
    stride, dilation = spread(s.get("stride", 1), count), spread(s.get("dilation", 1), count)
    extra, groups = spread(s.get("output_padding", 0), count), int(s.get("groups", 1))
    if weight.size * x.shape[0] * math.prod(x.shape[2:]) > LARGEST:
        raise ValueError("too large")
    sides = pads(s.get("padding", 0), count, kernel, stride, dilation, x.shape[2:])
    full = [
        (x.shape[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 + extra[i] for i in range(count)
    ]
    grouped = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    weights = weight.reshape(groups, -1, *weight.shape[1:])
    out = np.zeros((x.shape[0], groups, weights.shape[2], *full))
    for tap in product(*(range(k) for k in kernel)):
        window = tuple(
            slice(t * d, t * d + st * (n - 1) + 1, st)
            for t, d, st, n in zip(tap, dilation, stride, x.shape[2:], strict=True)
        )
        out[(slice(None),) * 3 + window] += np.einsum(
            "ngc...,gco->ngo...", grouped, weights[(slice(None),) * 3 + tap]
        )
    out = out.reshape(x.shape[0], -1, *full)
    cut = tuple(slice(a, n - b) for (a, b), n in zip(sides, full, strict=True))
    out = out[(slice(None), slice(None), *cut)]
    return out if bias is None else out + bias.reshape(-1, *[1] * count)


def pool(x: np.ndarray, kind: str, s: dict[str, Any]) -> np.ndarray:
    """Pooling by maximum, average or sum over any number of spatial axes."""
    count = x.ndim - 2
    kernel = spread(s["kernel_size"], count)
    stride = spread(s.get("stride") or kernel, count)
    dilation = spread(s.get("dilation", 1), count)
    sides = pads(s.get("padding", 0), count, kernel, stride, dilation, x.shape[2:])
    ceil = bool(s.get("ceil_mode", False))
    sizes, right = [], []
    for i in range(count):
        room = x.shape[2 + i] + sum(sides[i]) - dilation[i] * (kernel[i] - 1) - 1
        n = (-(-room // stride[i]) if ceil else room // stride[i]) + 1
        if ceil and (n - 1) * stride[i] >= x.shape[2 + i] + sides[i][0]:
            n -= 1
        sizes.append(n)
        right.append(
            max((n - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - x.shape[2 + i] - sides[i][0], 0)
        )
    if min(sizes) < 1:
        raise ValueError("the window does not fit")
    widths = [(a, max(b, r)) for (a, b), r in zip(sides, right, strict=True)]
    padded = _padded(x, widths, "zeros", -np.inf if kind == "max" else 0.0)
    inside = _padded(
        np.ones((1, 1, *x.shape[2:])), sides, "zeros", 1.0 if s.get("count_include_pad", True) else 0.0
    )
    inside = _padded(inside, [(0, w[1] - p[1]) for w, p in zip(widths, sides, strict=True)], "zeros")
    out: Any = np.full((*x.shape[:2], *sizes), -np.inf) if kind == "max" else 0.0
    counted: Any = 0.0
    for tap in product(*(range(k) for k in kernel)):
        window = (
            slice(None),
            slice(None),
            *tuple(
                slice(t * d, t * d + st * (n - 1) + 1, st)
                for t, d, st, n in zip(tap, dilation, stride, sizes, strict=True)
            ),
        )
        out = np.maximum(out, padded[window]) if kind == "max" else out + padded[window]
        counted = counted + inside[window]
    if kind == "sum":
        return out
    return out if kind == "max" else out / np.maximum(counted, 1)


def power_pool(x: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """The norm of each window. ``scaled``: that of a window at the edge is the norm of a whole one with its mean."""
    power = float(s["norm_type"])
    if not s.get("scaled", False):
        return pool(x**power, "sum", s) ** (1 / power)
    whole = float(np.prod(spread(s["kernel_size"], x.ndim - 2)))
    return (pool(x**power, "avg", s) * whole) ** (1 / power)


def adaptive_pool(x: np.ndarray, kind: str, s: dict[str, Any]) -> np.ndarray:
    """Pooling to a given output size."""
    count = x.ndim - 2
    size = spread(s["output_size"], count)
    out = np.zeros((*x.shape[:2], *size))
    for place in product(*(range(n) for n in size)):
        window = (
            slice(None),
            slice(None),
            *tuple(
                slice(i * x.shape[2 + a] // size[a], -(-(i + 1) * x.shape[2 + a] // size[a]))
                for a, i in enumerate(place)
            ),
        )
        axes = tuple(range(2, x.ndim))
        cell: tuple[Any, ...] = (slice(None), slice(None), *place)
        out[cell] = x[window].max(axes) if kind == "max" else x[window].mean(axes)
    return out


def normalised(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    """Mean 0 and variance 1 over the axes."""
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + epsilon)


def _affine(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, *, last: bool = False
) -> np.ndarray:
    shape = (lambda a: a.shape) if last else (lambda a: (-1, *[1] * (x.ndim - 2)))
    if weight is not None:
        x = x * weight.reshape(shape(weight))
    return x if bias is None else x + bias.reshape(shape(bias))


def batch_norm(x: np.ndarray, t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    """By the batch's or the running statistics, as ``use_batch`` says."""
    epsilon = s.get("epsilon", 1e-5)
    if s.get("use_batch"):
        made = normalised(x, (0, *range(2, x.ndim)), epsilon)
    else:
        mean, variance = (t[k].reshape(-1, *[1] * (x.ndim - 2)) for k in ("mean", "variance"))
        made = (x - mean) / np.sqrt(variance + epsilon)
    return _affine(made, t.get("weight"), t.get("bias"))


def group_norm(x: np.ndarray, t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    """By groups of channels."""
    groups = int(s.get("num_groups", 1))
    parted = x.reshape(x.shape[0], groups, -1)
    return _affine(
        normalised(parted, (2,), s.get("epsilon", 1e-5)).reshape(x.shape), t.get("weight"), t.get("bias")
    )


def instance_norm(x: np.ndarray, t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    """Each channel of each example alone."""
    made = normalised(x, tuple(range(2, x.ndim)), s.get("epsilon", 1e-5))
    return _affine(made, t.get("weight"), t.get("bias"))


def layer_norm(x: np.ndarray, t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    """Over the last axes, as many as ``normalized_shape`` has."""
    shape = s.get("normalized_shape", x.shape[-1])
    count = len(shape) if isinstance(shape, (list, tuple)) else 1
    made = normalised(x, tuple(range(x.ndim - count, x.ndim)), s.get("epsilon", 1e-5))
    return _affine(made, t.get("weight"), t.get("bias"), last=True)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return special.softmax(x, axis=axis)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return special.expit(x)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * special.ndtr(x)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


UNARY: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "no activation": ("identity", lambda x: x),
    "relu": ("relu", lambda x: np.maximum(x, 0)),
    "relu6": ("relu6", lambda x: np.clip(x, 0, 6)),
    "leaky relu of slope 0.01": ("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x)),
    "leaky relu of slope 0.1": ("leaky_relu", lambda x: np.where(x > 0, x, 0.1 * x)),
    "leaky relu of slope 0.2": ("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x)),
    "gelu": ("gelu", gelu),
    "gelu by tanh": ("gelu", gelu_tanh),
    "gelu by sigmoid(1.702 x)": ("gelu", lambda x: x * sigmoid(1.702 * x)),
    "silu": ("silu", lambda x: x * sigmoid(x)),
    "sigmoid": ("sigmoid", sigmoid),
    "hard sigmoid of slope 1/6": ("hardsigmoid", lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "hard sigmoid of slope 0.2": ("hardsigmoid", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "hard swish": ("hardswish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "tanh": ("tanh", np.tanh),
    "hard tanh": ("hardtanh", lambda x: np.clip(x, -1, 1)),
    "elu": ("elu", elu),
    "selu": ("selu", lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772)),
    "celu of alpha 1": ("elu", elu),
    "mish": ("mish", lambda x: x * np.tanh(softplus(x))),
    "softplus": ("softplus", softplus),
    "softsign": ("softsign", lambda x: x / (1 + np.abs(x))),
    "log sigmoid": ("log_sigmoid", lambda x: -softplus(-x)),
    "tanh shrink": ("tanhshrink", lambda x: x - np.tanh(x)),
    "hard shrink of 0.5": ("hardshrink", lambda x: np.where(np.abs(x) > 0.5, x, 0.0)),
    "soft shrink of 0.5": ("softshrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0.0)),
    "sine": ("sin", np.sin),
    "cosine": ("cos", np.cos),
    "square": ("square", np.square),
    "absolute value": ("abs", np.abs),
    "exponential": ("exp", np.exp),
    "logarithm": ("log", np.log),
    "log(1+x)": ("log1p", np.log1p),
    "square root": ("sqrt", np.sqrt),
    "squared relu": ("squared_relu", lambda x: np.maximum(x, 0) ** 2),
}
"""Elementwise functions: the words for each form, its kind, and what it does."""

REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min, "product": np.prod,
    "logsumexp": lambda x, axis=None: special.logsumexp(x, axis=axis),
    "norm": lambda x, axis=None: np.sqrt((x**2).sum(axis=axis)),
    "deviation": lambda x, axis=None: x.std(axis=axis),
}  # fmt: skip


def interpolation(x: np.ndarray, s: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
    """Resized along each spatial axis in turn."""
    out = x
    for axis, length in enumerate(size, 2):
        weights = _resizing(x.shape[axis], length, str(s.get("mode", "nearest")), bool(s.get("align_corners", False)),
                            int(s.get("align_mode", 0)))  # fmt: skip
        out = np.moveaxis(np.tensordot(out, weights, (axis, 1)), -1, axis)
    return out


def _resizing(before: int, after: int, mode: str, align: bool, align_mode: int) -> np.ndarray:
    """The matrix (after, before) of resizing along one axis."""
    weights = np.zeros((after, before))
    rows = np.arange(after)
    if mode in ("area", "box"):
        for i in rows:
            window = slice(i * before // after, -(-(i + 1) * before // after))
            weights[i, window] = 1 / (window.stop - window.start)
        return weights
    scale = (before - 1) / max(after - 1, 1) if align else before / after
    if mode.startswith("nearest"):
        exact = rows * scale if not mode.endswith("exact") else (rows + 0.5) * scale
        near = np.floor(exact + (0.5 if align else 1e-9)).astype(int)
        weights[rows, np.clip(near, 0, before - 1)] = 1
        return weights
    at = rows * scale if align or align_mode == 1 else (rows + 0.5) * scale - 0.5
    if mode in ("linear", "bilinear", "trilinear"):
        at = np.maximum(at, 0)
        low = np.minimum(np.floor(at).astype(int), before - 1)
        share = at - low
        np.add.at(weights, (rows, low), 1 - share)
        np.add.at(weights, (rows, np.minimum(low + 1, before - 1)), share)
        return weights
    if mode not in ("cubic", "bicubic"):
        raise ValueError(f"no kernel for {mode}")
    low = np.floor(at).astype(int)
    for tap in range(-1, 3):
        distance = np.abs(at - (low + tap))
        a = -0.75
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        np.add.at(weights, (rows, np.clip(low + tap, 0, before - 1)), np.where(distance <= 1, near, far))
    return weights


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """softmax(q k^T * scale + mask) v over the last two axes."""
    scores = query @ np.swapaxes(key, -1, -2) * s.get("scale", query.shape[-1] ** -0.5)
    if s.get("is_causal"):
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    if s.get("mask") is not None:
        mask = s["mask"]
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    return softmax(scores) @ value


def reduced(values: np.ndarray, reduction: str, weights: np.ndarray | None = None) -> np.ndarray:
    """A loss's last step; a mean with weights is divided by their sum."""
    if reduction == "none":
        return values
    if reduction == "sum":
        return np.asarray(values.sum())
    return np.asarray(values.sum() / weights.sum() if weights is not None else values.mean())


def cross_entropy(x: np.ndarray, labels: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """Of logits, classes along ``axis``; labels are numbers, or shares of each class."""
    axis = int(s.get("axis", 1 if x.ndim > 1 else -1)) % x.ndim
    x = np.moveaxis(x, axis, -1)
    scores = (
        np.log(np.maximum(x, 1e-300))
        if s.get("probabilities")
        else x - special.logsumexp(x, axis=-1, keepdims=True)
    )
    classes = x.shape[-1]
    if labels.dtype.kind == "f" and labels.ndim == x.ndim:
        values = -(np.moveaxis(labels, axis, -1) * scores).sum(-1)
        return reduced(values, s.get("reduction", "mean"))
    if labels.ndim == x.ndim:
        labels = labels.reshape(x.shape[:-1])
    kept = labels != s.get("ignore_index", -100)
    places = np.where(kept & (labels >= 0) & (labels < classes), labels, 0)
    smoothing = float(s.get("label_smoothing", 0.0))
    weight = s.get("class_weight")
    own = np.ones(classes) if weight is None else np.asarray(weight, float).reshape(-1)
    picked = np.take_along_axis(scores, places[..., None], -1)[..., 0]
    values = -(1 - smoothing) * own[places] * picked - smoothing / classes * (own * scores).sum(-1)
    values = np.where(kept, values, 0.0)
    return reduced(values, s.get("reduction", "mean"), own[places] * kept)


def binary_cross_entropy(x: np.ndarray, y: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """Of logits, or of ``probabilities``."""
    positive = s.get("pos_weight")
    scale = 1.0 if positive is None else positive
    if s.get("probabilities"):
        values = -(scale * y * np.log(np.maximum(x, 1e-300)) + (1 - y) * np.log(np.maximum(1 - x, 1e-300)))
    else:
        values = scale * y * softplus(-x) + (1 - y) * softplus(x)
    if s.get("class_weight") is not None:
        values = values * s["class_weight"]
    return reduced(values, s.get("reduction", "mean"))


def distance_losses(difference: np.ndarray, size: float = 1.0) -> dict[str, np.ndarray]:
    """Elementwise losses of a difference, by name; ``size`` is the width of the quadratic part."""
    absolute = np.abs(difference)
    huber = np.where(absolute < size, 0.5 * difference**2, size * (absolute - 0.5 * size))
    return {
        "squared error": difference**2,
        "half the squared error": 0.5 * difference**2,
        "absolute error": absolute,
        "Huber": huber,
        "smooth L1": huber / size,
        "Charbonnier (1e-3)": np.sqrt(difference**2 + 1e-6),
        "Charbonnier (1e-6)": np.sqrt(difference**2 + 1e-12),
        "log cosh": np.logaddexp(difference, -difference) - math.log(2),
    }
