"""The kinds of layers that generated pairs are made of: how options are drawn, both frameworks' layers, and which
mistakes in an option have which cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import torch

P, T, TF = paddle.nn, torch.nn, torch.nn.functional


# --- layers: (shape in) -> options, shape out; and the layer of either framework from the options --------------------


class Apply:
    """A function as a layer, of either framework."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def of(self, nn: Any) -> Any:
        function = self.function

        class Function(nn.Layer if nn is P else nn.Module):
            def forward(self, x: Any) -> Any:
                return function(x)

        return Function()


class Both:
    """A layer of either framework: ``parts(nn)`` makes its parts by name, ``run(s, nn, f, x)`` runs them, with ``f``
    the framework's functions."""

    def parts(self, nn: Any) -> dict[str, Any]:
        raise NotImplementedError

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        raise NotImplementedError

    def of(self, nn: Any) -> Any:
        whole = self

        class Made(nn.Layer if nn is P else nn.Module):
            def __init__(self) -> None:
                super().__init__()
                for name, part in whole.parts(nn).items():
                    setattr(self, name, part)

            def forward(self, x: Any) -> Any:
                return whole.run(self, nn, F if nn is P else TF, x)

        Made.__name__ = type(self).__name__
        return Made()


class Gated(Both):
    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b

    def parts(self, nn: Any) -> dict[str, Any]:
        return {"value": nn.Linear(self.a, self.b), "gate": nn.Linear(self.a, self.b)}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        return s.value(x) * f.sigmoid(s.gate(x))


class Warp(Both):
    def __init__(self, align: bool, outside: str) -> None:
        self.align, self.outside = align, outside

    def parts(self, nn: Any) -> dict[str, Any]:
        return {}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        rows = [[[0.9, 0.2, 0.1], [-0.1, 1.1, -0.2]]] * x.shape[0]
        theta = (paddle.to_tensor if nn is P else torch.tensor)(rows, dtype=x.dtype)
        grid = f.affine_grid(theta, list(x.shape), align_corners=self.align)
        return f.grid_sample(x, grid, padding_mode=self.outside, align_corners=self.align)


class Block(Both):
    def __init__(self, n: int, act: str, eps: float) -> None:
        self.n, self.act, self.eps = n, act, eps

    def parts(self, nn: Any) -> dict[str, Any]:
        conv = P.Conv2D if nn is P else T.Conv2d
        norm = P.BatchNorm2D(self.n, epsilon=self.eps) if nn is P else T.BatchNorm2d(self.n, self.eps)
        return {"first": conv(self.n, self.n, 3, padding=1), "norm": norm, "second": conv(self.n, self.n, 1)}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        return x + s.second(getattr(f, self.act)(s.norm(s.first(x))))


def heads(width: int) -> int:
    """Two, where the width allows."""
    return 2 if width % 2 == 0 else 1


class Decoder(Both):
    def __init__(self, last: int, first: bool) -> None:
        self.last, self.first = last, first

    def parts(self, nn: Any) -> dict[str, Any]:
        if nn is P:
            return {
                "layer": P.TransformerDecoderLayer(
                    self.last, heads(self.last), 8, dropout=0.1, normalize_before=self.first
                )
            }
        return {
            "layer": T.TransformerDecoderLayer(
                self.last, heads(self.last), 8, 0.1, batch_first=True, norm_first=self.first
            )
        }

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        return s.layer(x, f.relu(x))


class Scores(Both):
    """Attention in plain functions."""

    def __init__(self, last: int, scale: float, causal: bool) -> None:
        self.last, self.scale, self.causal = last, scale, causal

    def parts(self, nn: Any) -> dict[str, Any]:
        return {name: nn.Linear(self.last, self.last) for name in ("q", "k", "v")}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        keys = s.k(x).transpose([0, 2, 1]) if nn is P else s.k(x).transpose(1, 2)
        scores = (s.q(x) @ keys) * self.scale
        if self.causal:
            table = np.triu(np.full((x.shape[1], x.shape[1]), -1e9), 1)
            scores = scores + (paddle.to_tensor if nn is P else torch.tensor)(table, dtype=x.dtype)
        return f.softmax(scores, -1) @ s.v(x)


class Causal(Both):
    def __init__(self, n: int, dilation: int) -> None:
        self.n, self.dilation = n, dilation

    def parts(self, nn: Any) -> dict[str, Any]:
        return {"conv": (P.Conv1D if nn is P else T.Conv1d)(self.n, self.n, 2, dilation=self.dilation)}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        sides = [self.dilation, 0]
        return s.conv(F.pad(x, sides, data_format="NCL") if nn is P else TF.pad(x, sides))


class Cell(Both):
    def __init__(self, kind: str, a: int) -> None:
        self.kind, self.a = kind, a

    def parts(self, nn: Any) -> dict[str, Any]:
        return {"cell": getattr(nn, self.kind)(self.a, 5)}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        state, found = None, []
        for step in range(x.shape[1]):
            made = s.cell(x[:, step], state)
            state = made[1] if nn is P else made
            now = made[0] if nn is P or self.kind == "LSTMCell" else made
            found.append(now)
        return paddle.stack(found, 1) if nn is P else torch.stack(found, 1)


class OverTime(Both):
    def __init__(self, n: int) -> None:
        self.n = n

    def parts(self, nn: Any) -> dict[str, Any]:
        return {"mix": nn.Linear(self.n, self.n)}

    def run(self, s: Any, nn: Any, f: Any, x: Any) -> Any:
        if nn is P:
            return s.mix(x.transpose([0, 2, 1])).transpose([0, 2, 1])
        return s.mix(x.transpose(1, 2)).transpose(1, 2)


UNARY = {
    "relu": (P.ReLU, T.ReLU),
    "relu6": (P.ReLU6, T.ReLU6),
    "sigmoid": (P.Sigmoid, T.Sigmoid),
    "tanh": (P.Tanh, T.Tanh),
    "silu": (P.Silu, T.SiLU),
    "mish": (P.Mish, T.Mish),
    "hardswish": (P.Hardswish, T.Hardswish),
    "hardsigmoid": (P.Hardsigmoid, T.Hardsigmoid),
    "hardtanh": (P.Hardtanh, T.Hardtanh),
    "selu": (P.SELU, T.SELU),
    "softsign": (P.Softsign, T.Softsign),
    "logsigmoid": (P.LogSigmoid, T.LogSigmoid),
    "tanhshrink": (P.Tanhshrink, T.Tanhshrink),
    "gelu": (P.GELU, T.GELU),
    "hardshrink": (P.Hardshrink, T.Hardshrink),
    "softshrink": (P.Softshrink, T.Softshrink),
    "swish": (P.Swish, T.SiLU),
    "sine": (lambda: Apply(paddle.sin).of(P), lambda: Apply(torch.sin).of(T)),
    "identity": (P.Identity, T.Identity),
}
OPTIONS: dict[str, tuple[Callable, Callable, dict[str, list], dict[str, str]]] = {
    # kind: (paddle, torch, options and their values, causes of a wrong option)
    "leaky_relu": (P.LeakyReLU, T.LeakyReLU, {"slope": [0.01, 0.1, 0.2]},
                   {"slope": "activation_form activation"}),
    "elu": (P.ELU, T.ELU, {"alpha": [1.0, 0.5, 1.5]},
            {"alpha": "activation_form activation"}),
    "celu": (P.CELU, T.CELU, {"alpha": [1.0, 0.5]},
             {"alpha": "activation_form activation"}),
    "softplus": (P.Softplus, T.Softplus, {"beta": [1.0, 2.0, 0.5]},
                 {"beta": "activation_form activation"}),
    "gelu_form": (P.GELU,
                  lambda approximate: T.GELU(approximate="tanh" if approximate else "none"),
                  {"approximate": [True, False]}, {"approximate": "activation_form"}),
    "dropout": (P.Dropout, T.Dropout, {"p": [0.1, 0.3, 0.5]}, {"p": "dropout_rate"}),
    "softmax": (P.Softmax, T.Softmax, {"axis": [-1, 1]}, {}),
    "log_softmax": (P.LogSoftmax, T.LogSoftmax, {"axis": [-1, 1]}, {}),
    "scale": (lambda by: Apply(lambda x: x * by).of(P), lambda by: Apply(lambda x: x * by).of(T),
              {"by": [0.5, 2.0, 0.125]}, {"by": "scale_factor"}),
    "shift": (lambda by: Apply(lambda x: x + by).of(P), lambda by: Apply(lambda x: x + by).of(T),
              {"by": [0.5, -1.0]}, {"by": "constant_offset sign"}),
    "clip": (lambda high: Apply(lambda x: paddle.clip(x, -high, high)).of(P),
             lambda high: Apply(lambda x: x.clamp(-high, high)).of(T), {"high": [0.5, 1.0]},
             {"high": "activation_form"}),
    "thresholded": (P.ThresholdedReLU, lambda threshold: T.Threshold(threshold, 0.0), {"threshold": [1.0, 0.2]},
                    {"threshold": "activation_form activation"}),
    "root_mean_square": (
        lambda eps: Apply(lambda x: x * paddle.rsqrt((x * x).mean(-1, keepdim=True) + eps)).of(P),
        lambda eps: Apply(lambda x: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)).of(T),
        {"eps": [1e-6, 1e-2]}, {"eps": "epsilon constant_offset"}),
    "running_sum": (lambda axis: Apply(lambda x: paddle.cumsum(x, axis)).of(P),
                    lambda axis: Apply(lambda x: torch.cumsum(x, axis)).of(T), {"axis": [-1, 1]}, {}),
    "turned": (lambda axis: Apply(lambda x: paddle.flip(x, [axis])).of(P),
               lambda axis: Apply(lambda x: torch.flip(x, [axis])).of(T), {"axis": [-1, 1]}, {}),
    "normalize": (lambda axis: Apply(lambda x: F.normalize(x, axis=axis)).of(P),
                  lambda axis: Apply(lambda x: TF.normalize(x, dim=axis)).of(T), {"axis": [1, -1]},
                  {"axis": "axis normalised_axes"}),
}  # fmt: skip


def linear(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
    out = int(rng.choice([4, 6, 8]))
    return {"a": shape[-1], "b": out, "bias": bool(rng.random() < 0.8)}, (*shape[:-1], out)


def _conv(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
    groups = int(rng.choice([1, 1, 2])) if shape[0] % 2 == 0 else 1
    kernel, stride, dilation = (
        int(rng.choice([1, 3, 3, 2])),
        int(rng.choice([1, 1, 2])),
        int(rng.choice([1, 1, 2])),
    )
    padding = int(rng.choice([0, 1, 2]))
    size = (shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if size < 2:
        kernel, stride, dilation, padding, size = 1, 1, 1, 0, shape[1]
    out = int(rng.choice([4, 6]))
    mode = (
        str(rng.choice(["zeros", "zeros", "reflect", "replicate", "circular"])) if padding == 1 else "zeros"
    )
    return {"a": shape[0], "b": out, "k": kernel, "stride": stride, "padding": padding, "dilation": dilation,
            "groups": groups, "mode": mode, "bias": bool(rng.random() < 0.7)}, (out, size, size)  # fmt: skip


def _deconv(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
    stride, extra = 2, int(rng.choice([0, 1]))
    size = (shape[1] - 1) * stride - 2 + 3 + extra
    return {"a": shape[0], "b": 4, "stride": stride, "extra": extra}, (4, size, size)


def _to_size(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
    size = int(rng.choice([2, 3]))
    return {"size": size}, (shape[0], size, size)


def _pool(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
    kernel, stride, padding = 3, int(rng.choice([1, 2])), int(rng.choice([0, 1]))
    ceil, inside = bool(rng.random() < 0.3), bool(rng.random() < 0.5)
    if shape[1] < 4:
        kernel, stride, padding, ceil = min(2, shape[1]), 1, 0, False
    room = shape[1] + 2 * padding - kernel
    size = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (size - 1) * stride >= shape[1] + padding:
        size -= 1
    return {"k": kernel, "stride": stride, "padding": padding, "ceil": ceil, "inside": inside}, (
        shape[0],
        size,
        size,
    )


def same(**choices: list) -> Callable:
    """Options drawn from lists, for a layer that keeps the shape; ``n`` is the number of channels."""
    return lambda rng, shape: ({"n": shape[0], "last": shape[-1],
                                **{k: v[rng.integers(len(v))] for k, v in choices.items()}}, shape)  # fmt: skip


def norm_attr(affine: bool) -> dict:
    return {} if affine else {"weight_attr": False, "bias_attr": False}


def _recurrent(kind: str) -> tuple:
    def options(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
        both, layers = bool(rng.random() < 0.4), int(rng.choice([1, 2]))
        return {"a": shape[1], "b": 6, "both": both, "layers": layers}, (shape[0], 12 if both else 6)

    names = {"lstm": ("LSTM", "LSTM"), "gru": ("GRU", "GRU"), "rnn": ("SimpleRNN", "RNN")}[kind]

    def first(layer: Any, nn: Any) -> Any:
        class First(nn.Layer if nn is P else nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn = layer

            def forward(self, x: Any) -> Any:
                return self.rnn(x)[0]

        return First()

    return (
        options,
        lambda a, b, both, layers: first(
            getattr(P, names[0])(a, b, layers, direction="bidirect" if both else "forward"), P),
        lambda a, b, both, layers: first(
            getattr(T, names[1])(a, b, layers, batch_first=True, bidirectional=both), T),
        {},
    )  # fmt: skip


def _attention(nn: Any, last: int, heads: int, rate: float) -> Any:
    class Attention(nn.Layer if nn is P else nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if nn is P:
                self.attention = P.MultiHeadAttention(last, heads, dropout=rate)
            else:
                self.attention = T.MultiheadAttention(last, heads, dropout=rate, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x) if nn is P else self.attention(x, x, x)[0]

    return Attention()


def _encoder(nn: Any, last: int, first: bool, act: str) -> Any:
    if nn is P:
        return P.TransformerEncoderLayer(
            last, heads(last), 12, dropout=0.1, activation=act, normalize_before=first
        )
    return T.TransformerEncoderLayer(last, heads(last), 12, 0.1, act, batch_first=True, norm_first=first)


ANY: dict[str, tuple] = {
    "layer_norm": (same(eps=[1e-5, 1e-6, 1e-3]), lambda n, last, eps: P.LayerNorm(last, eps),
                   lambda n, last, eps: T.LayerNorm(last, eps), {"eps": ([1e-5, 1e-2], "epsilon")}),
    "residual_linear": (same(), lambda n, last: residual(P, P.Linear(last, last)),
                        lambda n, last: residual(T, T.Linear(last, last)), {}),
}  # fmt: skip
VECTOR: dict[str, tuple] = {
    "linear": (linear, lambda a, b, bias: P.Linear(a, b, bias_attr=None if bias else False),
               T.Linear, {"bias": (None, "missing_bias")}),
    "batch_norm": (same(eps=[1e-5, 1e-3], m=[0.1, 0.01]),
                   lambda n, last, eps, m: P.BatchNorm1D(n, momentum=1 - m, epsilon=eps),
                   lambda n, last, eps, m: T.BatchNorm1d(n, eps, m),
                   {"eps": ([1e-5, 1e-2], "epsilon"), "m": ([0.1, 0.5], "momentum")}),
    "prelu": (same(), lambda n, last: P.PReLU(n), lambda n, last: T.PReLU(n), {}),
    "gated": (lambda rng, s: ({"a": s[-1], "b": 4}, (*s[:-1], 4)),
              lambda a, b: Gated(a, b).of(P), lambda a, b: Gated(a, b).of(T), {}),
    "glu": (lambda rng, s: ({"pairs": s[-1] % 2 == 0}, (*s[:-1], s[-1] // 2 if s[-1] % 2 == 0 else s[-1])),
            lambda pairs: P.GLU() if pairs else P.Identity(), lambda pairs: T.GLU() if pairs else T.Identity(), {}),
    "weight_norm": (same(), lambda n, last: paddle.nn.utils.weight_norm(P.Linear(last, last), dim=1),
                    lambda n, last: torch.nn.utils.weight_norm(T.Linear(last, last)), {}),
    **ANY,
}  # fmt: skip
PICTURE: dict[str, tuple] = {
    "conv": (_conv,
             lambda a, b, k, stride, padding, dilation, groups, mode, bias: P.Conv2D(
                 a, b, k, stride, padding, dilation, groups, padding_mode=mode, bias_attr=None if bias else False),
             lambda a, b, k, stride, padding, dilation, groups, mode, bias: T.Conv2d(
                 a, b, k, stride, padding, dilation, groups, bias, mode),
             {"padding": ([0, 1, 2], "padding dilation shape"), "stride": ([1, 2], "stride shape"),
              "dilation": ([1, 2], "dilation padding shape"), "bias": (None, "missing_bias"),
              "mode": (["zeros", "reflect", "replicate"], "padding_mode padding")}),
    "deconv": (_deconv, lambda a, b, stride, extra: P.Conv2DTranspose(a, b, 3, stride, 1, extra),
               lambda a, b, stride, extra: T.ConvTranspose2d(a, b, 3, stride, 1, extra),
               {"extra": ([0, 1], "output_padding shape padding")}),
    "batch_norm2d": (same(eps=[1e-5, 1e-3], m=[0.1, 0.01], affine=[True, True, False]),
                     lambda n, last, eps, m, affine: P.BatchNorm2D(n, 1 - m, eps, **norm_attr(affine)),
                     lambda n, last, eps, m, affine: T.BatchNorm2d(n, eps, m, affine),
                     {"eps": ([1e-5, 1e-2], "epsilon"), "m": ([0.1, 0.5], "momentum"),
                      "affine": (None, "missing_affine")}),
    "group_norm": (same(groups=[1, 2], eps=[1e-5, 1e-3]),
                   lambda n, last, groups, eps: P.GroupNorm(groups, n, eps),
                   lambda n, last, groups, eps: T.GroupNorm(groups, n, eps),
                   {"groups": ([1, 2], "groups normalised_axes"), "eps": ([1e-5, 1e-2], "epsilon")}),
    "instance_norm": (same(affine=[True, False]),
                      lambda n, last, affine: P.InstanceNorm2D(n, **norm_attr(affine)),
                      lambda n, last, affine: T.InstanceNorm2d(n, affine=affine), {"affine": (None, "missing_affine")}),
    "max_pool": (_pool, lambda k, stride, padding, ceil, inside: P.MaxPool2D(k, stride, padding, ceil_mode=ceil),
                 lambda k, stride, padding, ceil, inside: T.MaxPool2d(k, stride, padding, ceil_mode=ceil),
                 {"stride": ([1, 2], "stride shape"), "ceil": (None, "ceil_mode shape")}),
    "avg_pool": (_pool,
                 lambda k, stride, padding, ceil, inside: P.AvgPool2D(k, stride, padding, ceil, not inside),
                 T.AvgPool2d,
                 {"inside": (None, "count_include_pad"), "stride": ([1, 2], "stride shape")}),
    "upsample": (lambda rng, s: ({"mode": ["nearest", "bilinear"][rng.integers(2)], "align": bool(rng.random() < 0.5)},
                                 (s[0], 2 * s[1], 2 * s[2])),
                 lambda mode, align: P.Upsample(scale_factor=2, mode=mode, align_corners=align and mode != "nearest"),
                 lambda mode, align: T.Upsample(scale_factor=2, mode=mode,
                                                align_corners=align if mode != "nearest" else None),
                 {"mode": (["nearest", "bilinear"], "interpolation_mode align_corners")}),
    "pad": (lambda rng, s: ({"mode": ["constant", "reflect", "replicate"][rng.integers(3)]},
                            (s[0], s[1] + 2, s[2] + 2)),
            lambda mode: P.Pad2D(1, mode), lambda mode: Apply(lambda x: TF.pad(x, (1, 1, 1, 1), mode)).of(T),
            {"mode": (["constant", "reflect", "replicate"], "padding_mode padding")}),
    "zero_pad": (lambda rng, s: ({"sides": [[1, 1, 2, 0], [0, 2, 1, 1]][rng.integers(2)]},
                                 (s[0], s[1] + 2, s[2] + 2)),
                 P.ZeroPad2D, lambda sides: T.ZeroPad2d(tuple(sides)),
                 {"sides": ([[1, 1, 2, 0], [2, 0, 1, 1], [0, 2, 1, 1]], "padding")}),
    "pixel_shuffle": (lambda rng, s: ({"by": 2 if s[0] % 4 == 0 else 1},
                                      (s[0] // 4, 2 * s[1], 2 * s[2]) if s[0] % 4 == 0 else s),
                      lambda by: P.PixelShuffle(by) if by > 1 else P.Identity(),
                      lambda by: T.PixelShuffle(by) if by > 1 else T.Identity(), {}),
    "channel_shuffle": (same(), lambda n, last: P.ChannelShuffle(2 if n % 2 == 0 else 1),
                        lambda n, last: T.ChannelShuffle(2 if n % 2 == 0 else 1), {}),
    "adaptive_avg": (_to_size, P.AdaptiveAvgPool2D,
                     T.AdaptiveAvgPool2d, {}),
    "adaptive_max": (_to_size, P.AdaptiveMaxPool2D,
                     T.AdaptiveMaxPool2d, {}),
    "response_norm": (same(size=[3, 5], k=[1.0, 2.0]), lambda n, last, size, k: P.LocalResponseNorm(size, k=k),
                      lambda n, last, size, k: T.LocalResponseNorm(size, k=k), {}),
    "bicubic": (lambda rng, s: ({"align": bool(rng.random() < 0.5)}, (s[0], 2 * s[1], 2 * s[2])),
                lambda align: P.Upsample(scale_factor=2, mode="bicubic", align_corners=align),
                lambda align: T.Upsample(scale_factor=2, mode="bicubic", align_corners=align),
                {"align": (None, "align_corners")}),
    "warp": (same(align=[True, False], outside=["zeros", "border"]),
             lambda n, last, align, outside: Warp(align, outside).of(P),
             lambda n, last, align, outside: Warp(align, outside).of(T),
             {"align": (None, "align_corners"), "outside": (["zeros", "border"], "padding_mode")}),
    "block": (same(act=["relu", "gelu"], eps=[1e-5, 1e-3]), lambda n, last, act, eps: Block(n, act, eps).of(P),
              lambda n, last, act, eps: Block(n, act, eps).of(T), {"eps": ([1e-5, 1e-2], "epsilon")}),
    "dropout2d": (same(p=[0.2, 0.4]), lambda n, last, p: P.Dropout2D(p), lambda n, last, p: T.Dropout2d(p),
                  {"p": ([0.2, 0.4], "dropout_rate")}),
    "prelu2d": (same(), lambda n, last: P.PReLU(n), lambda n, last: T.PReLU(n), {}),
    "squeeze": (same(), lambda n, last: squeeze(P, n), lambda n, last: squeeze(T, n), {}),
    "spectral_norm": (same(), lambda n, last: paddle.nn.utils.spectral_norm(P.Conv2D(n, n, 1)),
                      lambda n, last: torch.nn.utils.spectral_norm(T.Conv2d(n, n, 1)), {}),
    "depthwise": (same(), lambda n, last: P.Conv2D(n, n, 3, padding=1, groups=n),
                  lambda n, last: T.Conv2d(n, n, 3, padding=1, groups=n), {}),
}  # fmt: skip
SEQUENCE: dict[str, tuple] = {
    "linear": VECTOR["linear"],
    "lstm": _recurrent("lstm"), "gru": _recurrent("gru"), "rnn": _recurrent("rnn"),
    "attention": (lambda rng, s: ({"last": s[1], "heads": heads(s[1]), "rate": [0.0, 0.2][rng.integers(2)]}, s),
                  lambda last, heads, rate: _attention(P, last, heads, rate),
                  lambda last, heads, rate: _attention(T, last, heads, rate), {}),
    "encoder": (lambda rng, s: ({"last": s[1], "first": bool(rng.random() < 0.5), "act": "relu"}, s),
                lambda last, first, act: _encoder(P, last, first, act),
                lambda last, first, act: _encoder(T, last, first, act), {}),
    "decoder": (lambda rng, s: ({"last": s[1], "first": bool(rng.random() < 0.5)}, s),
                lambda last, first: Decoder(last, first).of(P), lambda last, first: Decoder(last, first).of(T), {}),
    "scores": (same(scale=[0.5, 1.0, 0.25], causal=[True, False]),
               lambda n, last, scale, causal: Scores(last, scale, causal).of(P),
               lambda n, last, scale, causal: Scores(last, scale, causal).of(T),
               {"scale": ([0.5, 1.0, 0.25], "attention_scale scale_factor"),
                "causal": (None, "attention_mask missing_module extra_module constant_offset")}),
    "causal_conv": (same(dilation=[1, 2]), lambda n, last, dilation: Causal(n, dilation).of(P),
                    lambda n, last, dilation: Causal(n, dilation).of(T),
                    {"dilation": ([1, 2], "dilation padding shape")}),
    "cell": (lambda rng, s: ({"kind": ["LSTMCell", "GRUCell"][rng.integers(2)], "a": s[1]}, (s[0], 5)),
             lambda kind, a: Cell(kind, a).of(P), lambda kind, a: Cell(kind, a).of(T), {}),
    "over_time": (same(), lambda n, last: OverTime(n).of(P), lambda n, last: OverTime(n).of(T), {}),
    "batch_norm1d": (same(eps=[1e-5, 1e-3], m=[0.1, 0.01]),
                     lambda n, last, eps, m: P.BatchNorm1D(n, momentum=1 - m, epsilon=eps),
                     lambda n, last, eps, m: T.BatchNorm1d(n, eps, m),
                     {"eps": ([1e-5, 1e-2], "epsilon"), "m": ([0.1, 0.5], "momentum")}),
    "max_pool1d": (lambda rng, s: ({"k": 2 if s[1] > 2 else 1}, (s[0], s[1] - (1 if s[1] > 2 else 0))),
                   lambda k: P.MaxPool1D(k, 1), lambda k: T.MaxPool1d(k, 1), {}),
    "avg_pool1d": (lambda rng, s: ({"inside": bool(rng.random() < 0.5)}, s),
                   lambda inside: P.AvgPool1D(3, 1, 1, exclusive=not inside),
                   lambda inside: T.AvgPool1d(3, 1, 1, count_include_pad=inside),
                   {"inside": (None, "count_include_pad")}),
    "conv1d": (lambda rng, s: ({"n": s[0], "k": 3, "padding": 1}, s),
               lambda n, k, padding: P.Conv1D(n, n, k, padding=padding),
               lambda n, k, padding: T.Conv1d(n, n, k, padding=padding), {}),
    **ANY,
}  # fmt: skip
VOLUME: dict[str, tuple] = {
    "conv3d": (lambda rng, s: ({"a": s[0], "b": 4, "padding": 1, "bias": bool(rng.random() < 0.7)}, (4, *s[1:])),
               lambda a, b, padding, bias: P.Conv3D(a, b, 3, padding=padding, bias_attr=None if bias else False),
               lambda a, b, padding, bias: T.Conv3d(a, b, 3, padding=padding, bias=bias),
               {"bias": (None, "missing_bias")}),
    "batch_norm3d": (same(eps=[1e-5, 1e-3]), lambda n, last, eps: P.BatchNorm3D(n, epsilon=eps),
                     lambda n, last, eps: T.BatchNorm3d(n, eps), {"eps": ([1e-5, 1e-2], "epsilon")}),
    "instance_norm3d": (same(), lambda n, last: P.InstanceNorm3D(n), lambda n, last: T.InstanceNorm3d(n, affine=True),
                        {}),
    "group_norm3d": (same(eps=[1e-5, 1e-3]), lambda n, last, eps: P.GroupNorm(1, n, eps),
                     lambda n, last, eps: T.GroupNorm(1, n, eps), {"eps": ([1e-5, 1e-2], "epsilon")}),
    "max_pool3d": (same(), lambda n, last: P.MaxPool3D(3, 1, 1), lambda n, last: T.MaxPool3d(3, 1, 1), {}),
    "avg_pool3d": (same(inside=[True, False]), lambda n, last, inside: P.AvgPool3D(3, 1, 1, exclusive=not inside),
                   lambda n, last, inside: T.AvgPool3d(3, 1, 1, count_include_pad=inside),
                   {"inside": (None, "count_include_pad")}),
    "deconv3d": (lambda rng, s: ({"a": s[0]}, (3, *s[1:])), lambda a: P.Conv3DTranspose(a, 3, 3, 1, 1),
                 lambda a: T.ConvTranspose3d(a, 3, 3, 1, 1), {}),
    "dropout3d": (same(p=[0.2, 0.4]), lambda n, last, p: P.Dropout3D(p), lambda n, last, p: T.Dropout3d(p),
                  {"p": ([0.2, 0.4], "dropout_rate")}),
}  # fmt: skip
TOKENS: dict[str, tuple] = {
    "embedding": (lambda rng, s: ({"count": 9, "b": 6, "padding": [None, 0][rng.integers(2)]}, (*s, 6)),
                  lambda count, b, padding: P.Embedding(count, b, padding_idx=padding),
                  lambda count, b, padding: T.Embedding(count, b, padding_idx=padding),
                  {"padding": ([None, 0], "padding_idx")}),
    **SEQUENCE,
}  # fmt: skip
DOMAINS = {"vector": (VECTOR, (6,)), "picture": (PICTURE, (4, 6, 6)), "sequence": (SEQUENCE, (5, 6)),
           "volume": (VOLUME, (2, 4, 4, 4)), "tokens": (TOKENS, (5,))}  # fmt: skip


def residual(nn: Any, inner: Any) -> Any:
    class Residual(nn.Layer if nn is P else nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)

    return Residual()


def squeeze(nn: Any, n: int) -> Any:
    """Squeeze and excitation."""

    class Squeeze(nn.Layer if nn is P else nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(n, 3), nn.Linear(3, n)

        def forward(self, x: Any) -> Any:
            y = self.down(x.mean((2, 3)))
            y = self.up(F.relu(y) if nn is P else TF.relu(y))
            return x * (F.sigmoid(y) if nn is P else y.sigmoid())[:, :, None, None]

    return Squeeze()
