"""Faithful pairs made at random, and the same pairs with one mistake planted: what ``align`` says of each.

    python benchmarks/align_generated.py --pairs 2000 --state generated.json     goes on where it stopped

Every pair is a network of both frameworks made from one description: layers of many kinds with options, nesting and
names of the port's own, registered in another order, shared or frozen weights, outputs in tuples and dicts, an
optimizer with its schedule, a loss. The mistake changes one option of the port. All in one process; a pair is made from
its number alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import torch

from fuxian.align import align
from fuxian.recipe import Recipe

P, T, TF = paddle.nn, torch.nn, torch.nn.functional
BATCH = 4
Spec = dict[str, Any]


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


def _pool(rng: np.random.Generator, shape: tuple) -> tuple[dict, tuple]:
    kernel, stride, padding = 3, int(rng.choice([1, 2])), int(rng.choice([0, 1]))
    ceil, inside = bool(rng.random() < 0.3), bool(rng.random() < 0.5)
    if shape[1] < 4:
        kernel, stride, padding, ceil = 2, 1, 0, False
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
        return P.TransformerEncoderLayer(last, 2, 12, dropout=0.1, activation=act, normalize_before=first)
    return T.TransformerEncoderLayer(last, 2, 12, 0.1, act, batch_first=True, norm_first=first)


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
    "attention": (lambda rng, s: ({"last": s[1], "heads": 2, "rate": [0.0, 0.2][rng.integers(2)]}, s),
                  lambda last, heads, rate: _attention(P, last, heads, rate),
                  lambda last, heads, rate: _attention(T, last, heads, rate), {}),
    "encoder": (lambda rng, s: ({"last": s[1], "first": bool(rng.random() < 0.5), "act": "relu"}, s),
                lambda last, first, act: _encoder(P, last, first, act),
                lambda last, first, act: _encoder(T, last, first, act), {}),
    "conv1d": (lambda rng, s: ({"n": s[0], "k": 3, "padding": 1}, s),
               lambda n, k, padding: P.Conv1D(n, n, k, padding=padding),
               lambda n, k, padding: T.Conv1d(n, n, k, padding=padding), {}),
    **ANY,
}  # fmt: skip
DOMAINS = {"vector": (VECTOR, (6,)), "picture": (PICTURE, (4, 6, 6)), "sequence": (SEQUENCE, (5, 6))}


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


# --- a description, and the network of either framework ---------------------------------------------------------------


def draw(number: int) -> Spec:
    """The description of the pair of this number."""
    rng = np.random.default_rng(number)
    domain = ("vector", "picture", "sequence")[number % 3]
    kinds, shape = DOMAINS[domain]
    start, layers = shape, []
    for place in range(int(rng.integers(2, 6))):
        # Some of Paddle's backward passes end the process where the input needs no gradient: a product comes first.
        kind = str(rng.choice(sorted(kinds))) if place else {"picture": "conv"}.get(domain, "linear")
        options, shape = kinds[kind][0](rng, shape)
        layers.append({"kind": kind, "options": options})
        if rng.random() < 0.7:
            if rng.random() < 0.5:
                layers.append({"kind": str(rng.choice(sorted(UNARY))), "options": {}})
            else:
                kind = str(rng.choice(sorted(OPTIONS)))
                values = OPTIONS[kind][2]
                layers.append(
                    {"kind": kind, "options": {k: v[rng.integers(len(v))] for k, v in values.items()}}
                )
    return {
        "number": number, "domain": domain, "start": start, "end": shape, "layers": layers,
        "names": str(rng.choice(["same", "same", "other", "sequential"])), "backwards": bool(rng.random() < 0.3),
        "again": bool(rng.random() < 0.15), "frozen": bool(rng.random() < 0.15),
        "output": str(rng.choice(["tensor", "tuple", "dict", "list"])),
        "loss": str(rng.choice(["entropy", "mse", "l1", "smooth"])), "smoothing": float(rng.choice([0.0, 0.1])),
        "optimizer": draw_optimizer(rng), "seed": int(rng.integers(1000)),
    }  # fmt: skip


def draw_optimizer(rng: np.random.Generator) -> Spec:
    kind = str(rng.choice(["sgd", "momentum", "adam", "adamw", "adagrad", "adadelta"]))
    return {
        "kind": kind, "rate": float(rng.choice([0.1, 0.01])), "decay": float(rng.choice([0.0, 0.01])),
        "momentum": 0.9, "nesterov": bool(rng.random() < 0.3), "beta1": float(rng.choice([0.9, 0.5])),
        "beta2": float(rng.choice([0.999, 0.99])), "eps": 1e-8, "rho": 0.9,
        "schedule": str(rng.choice(["none", "step", "cosine", "exponential", "milestones"])), "gamma": 0.5, "every": 3,
    }  # fmt: skip


def layer_of(nn: Any, layer: Spec, domain: str) -> Any:
    kind, options, side = layer["kind"], layer["options"], 0 if nn is P else 1
    if kind in UNARY:
        return UNARY[kind][side]()
    table = OPTIONS if kind in OPTIONS else DOMAINS[domain][0]
    entry = table[kind]
    return (entry[side] if kind in OPTIONS else entry[1 + side])(*options.values())


def network(nn: Any, spec: Spec) -> Any:
    """The model of one framework. The port (Paddle) may have names, nesting and an order of registration of its own."""
    ours = nn is P
    count = len(spec["layers"])
    sequential = ours and spec["names"] == "sequential"
    names = [f"{'part' if ours and spec['names'] == 'other' else 'layer'}{i}" for i in range(count)]
    width = int(np.prod(spec["end"][:1] if spec["domain"] == "picture" else spec["end"][-1:]))

    class Net(nn.Layer if ours else nn.Module):
        def __init__(self) -> None:
            super().__init__()
            made = [layer_of(nn, layer, spec["domain"]) for layer in spec["layers"]]
            if sequential:
                self.body = nn.Sequential(*made)
            order = (
                range(count)[::-1] if ours and spec["backwards"] and spec["names"] == "same" else range(count)
            )
            if not sequential:
                for i in order:
                    setattr(self, names[i], made[i])
            self.head = nn.Linear(width, 3)
            initialise(self, nn, spec)

        def forward(self, x: Any) -> Any:
            for i in range(count):
                layer = self.body[i] if sequential else getattr(self, names[i])
                y = layer(x)
                x = layer(y) if spec["again"] and i == 0 and tuple(y.shape) == tuple(x.shape) else y
            if spec["domain"] == "picture":
                x = (
                    x.mean((2, 3)) + x[:, :, 0, 0]
                )  # A mean alone does not see what a norm before it has undone.
            elif spec["domain"] == "sequence":
                x = x.mean(1) + x[:, 0]
            out = self.head(x)
            kind = spec["output"]
            return {
                "tensor": out,
                "tuple": (out, x),
                "dict": {"scores": out, "features": x},
                "list": [out, x],
            }[kind]

    return Net()


def initialise(net: Any, nn: Any, spec: Spec) -> None:
    """Weights from one distribution on both sides, biases from one constant; the first matrix frozen where so drawn."""
    frozen = spec["frozen"]
    for name, p in net.named_parameters():
        if name.endswith("weight_g"):
            if nn is P:
                p.set_value(paddle.ones(p.shape, p.dtype))
            else:
                T.init.ones_(p)
        elif p.ndim > 1:
            if nn is P:
                p.set_value(paddle.normal(0.0, 0.3, p.shape).cast(p.dtype))
            else:
                T.init.normal_(p, std=0.3)
        elif "bias" in name:
            if nn is P:
                p.set_value(paddle.zeros(p.shape, p.dtype))
            else:
                T.init.zeros_(p)
    if frozen:
        weight = net.head.weight
        if nn is P:
            weight.stop_gradient = True
        else:
            weight.requires_grad_(False)


def loss_of(nn: Any, spec: Spec) -> Callable:
    functional = F if nn is P else TF

    def loss(out: Any, targets: tuple) -> Any:
        out = {"tensor": lambda: out, "dict": lambda: out["scores"]}.get(spec["output"], lambda: out[0])()
        if spec["loss"] == "entropy":
            return functional.cross_entropy(out, targets[0], label_smoothing=spec["smoothing"])
        if spec["loss"] == "mse":
            return functional.mse_loss(out, targets[1])
        if spec["loss"] == "l1":
            return functional.l1_loss(out, targets[1])
        return functional.smooth_l1_loss(out, targets[1])

    return loss


def optimizer_of(nn: Any, spec: Spec) -> Callable:
    o = spec["optimizer"]

    def paddle_optimizer(model: Any) -> Any:
        s = {"none": lambda: None,
             "step": lambda: paddle.optimizer.lr.StepDecay(o["rate"], o["every"], o["gamma"]),
             "cosine": lambda: paddle.optimizer.lr.CosineAnnealingDecay(o["rate"], 20),
             "exponential": lambda: paddle.optimizer.lr.ExponentialDecay(o["rate"], o["gamma"]),
             "milestones": lambda: paddle.optimizer.lr.MultiStepDecay(o["rate"], [o["every"], 9], o["gamma"])}[
                 o["schedule"]]()  # fmt: skip
        kinds, q = paddle.optimizer, {"parameters": model.parameters(), "weight_decay": o["decay"] or None}
        rate = s or o["rate"]
        made = {
            "sgd": lambda: kinds.SGD(rate, **q),
            "momentum": lambda: kinds.Momentum(rate, o["momentum"], use_nesterov=o["nesterov"], **q),
            "adam": lambda: kinds.Adam(rate, o["beta1"], o["beta2"], o["eps"], **q),
            "adamw": lambda: kinds.AdamW(rate, o["beta1"], o["beta2"], o["eps"], parameters=model.parameters(),
                                         weight_decay=o["decay"]),
            "adagrad": lambda: kinds.Adagrad(rate, 1e-10, **q),
            "adadelta": lambda: kinds.Adadelta(rate, 1e-6, o["rho"], **q),
        }[o["kind"]]()  # fmt: skip
        return made, s

    def torch_optimizer(model: Any) -> Any:
        kinds, q = torch.optim, {"lr": o["rate"], "weight_decay": o["decay"]}
        p = list(model.parameters())
        made = {
            "sgd": lambda: kinds.SGD(p, **q),
            "momentum": lambda: kinds.SGD(p, momentum=o["momentum"], nesterov=o["nesterov"], **q),
            "adam": lambda: kinds.Adam(p, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **q),
            "adamw": lambda: kinds.AdamW(p, betas=(o["beta1"], o["beta2"]), eps=o["eps"], **q),
            "adagrad": lambda: kinds.Adagrad(p, eps=1e-10, **q),
            "adadelta": lambda: kinds.Adadelta(p, rho=o["rho"], eps=1e-6, **q),
        }[o["kind"]]()
        lr = torch.optim.lr_scheduler
        s = {"none": lambda: None, "step": lambda: lr.StepLR(made, o["every"], o["gamma"]),
             "cosine": lambda: lr.CosineAnnealingLR(made, 20),
             "exponential": lambda: lr.ExponentialLR(made, o["gamma"]),
             "milestones": lambda: lr.MultiStepLR(made, [o["every"], 9], o["gamma"])}[o["schedule"]]()  # fmt: skip
        return made, s

    return paddle_optimizer if nn is P else torch_optimizer


def recipe(nn: Any, spec: Spec) -> Recipe:
    rng = np.random.default_rng(spec["seed"])
    batches = [
        {"inputs": (rng.standard_normal((BATCH, *spec["start"])).astype("float32"),),
         "targets": (rng.integers(0, 3, BATCH), rng.standard_normal((BATCH, 3)).astype("float32"))}
        for _ in range(3)
    ]  # fmt: skip
    return Recipe(
        model=lambda: network(nn, spec), train_data=lambda: batches, eval_data=lambda: batches[:1],
        loss=loss_of(nn, spec), optimizer=optimizer_of(nn, spec),
    )  # fmt: skip


# --- mistakes ---------------------------------------------------------------------------------------------------------


def plant(spec: Spec) -> tuple[Spec, dict[str, Any]] | None:
    """The port's description with one mistake, and what is right to say of it; None where nothing can be planted."""
    rng = np.random.default_rng([spec["number"], 7])
    wrong = json.loads(json.dumps(spec))
    found: list[Callable[[], dict[str, Any] | None]] = []

    def in_layer(
        i: int, option: str, values: list | None, causes: str
    ) -> Callable[[], dict[str, Any] | None]:
        def change() -> dict[str, Any] | None:
            options = wrong["layers"][i]["options"]
            left = [not options[option]] if values is None else [v for v in values if v != options[option]]
            before = options[option]
            options[option] = left[rng.integers(len(left))]
            said = f"{wrong['layers'][i]['kind']}: {option} {before} -> {options[option]}"
            return {"layer": i, "causes": causes, "mistake": said}

        return change

    for i, layer in enumerate(spec["layers"]):
        kind = layer["kind"]
        if kind in OPTIONS:
            for option, causes in OPTIONS[kind][3].items():
                found.append(in_layer(i, option, OPTIONS[kind][2][option], causes))
        elif kind not in UNARY:
            for option, (values, causes) in DOMAINS[spec["domain"]][0][kind][3].items():
                found.append(in_layer(i, option, values, causes))
        elif kind != "identity":
            found.append(lambda i=i: _other_activation(wrong, i, rng))  # type: ignore[misc]
    o = wrong["optimizer"]
    causes = {"decay": ("weight_decay", [0.0, 0.01, 0.05]), "rate": ("learning_rate", [0.1, 0.01, 0.02])}
    if o["kind"] in ("adam", "adamw"):
        causes |= {"beta1": ("beta", [0.9, 0.5]), "beta2": ("beta", [0.999, 0.99])}
    if o["kind"] == "momentum":
        causes |= {"nesterov": ("nesterov", [True, False]), "momentum": ("beta", [0.9, 0.8])}
    if o["kind"] == "adadelta":
        causes |= {"rho": ("beta", [0.9, 0.95])}
    if o["schedule"] in ("step", "exponential", "milestones"):
        causes |= {"gamma": ("schedule_gamma schedule_kind", [0.5, 0.1])}
    for option, (cause, values) in causes.items():
        found.append(lambda k=option, c=cause, v=values: _in_optimizer(o, k, c, v, rng))  # type: ignore[misc]
    if spec["loss"] == "entropy":

        def smoothed() -> dict[str, Any]:
            wrong["smoothing"] = 0.1 - wrong["smoothing"]
            return {"place": "loss", "causes": "label_smoothing", "mistake": "label smoothing"}

        found.append(smoothed)
    order = rng.permutation(len(found))
    truth = found[order[0]]()
    return (wrong, truth) if truth is not None else None


def _other_activation(wrong: Spec, i: int, rng: np.random.Generator) -> dict[str, Any]:
    before = wrong["layers"][i]["kind"]
    wrong["layers"][i]["kind"] = str(rng.choice([k for k in sorted(UNARY) if k not in (before, "identity")]))
    return {"layer": i, "causes": "activation activation_form missing_module extra_module scale_factor",
            "mistake": f"{before} -> {wrong['layers'][i]['kind']}"}  # fmt: skip


def _in_optimizer(o: Spec, option: str, cause: str, values: list, rng: np.random.Generator) -> dict[str, Any]:
    before = o[option]
    left = [v for v in values if v != before]
    o[option] = left[rng.integers(len(left))]
    return {
        "place": "optimizer",
        "causes": cause,
        "mistake": f"{o['kind']}: {option} {before} -> {o[option]}",
    }


def answer(spec: Spec, port: Spec | None = None, truth: dict[str, Any] | None = None) -> dict[str, Any]:
    """What ``align`` says of a pair; with ``truth``, how right that is."""
    began = time.monotonic()
    said = align(recipe(P, port or spec), recipe(T, spec))
    first, diagnosis = said.first, said.diagnosis
    found: dict[str, Any] = {"verdict": said.verdict, "seconds": round(time.monotonic() - began, 1)}
    if first is not None and diagnosis is not None:
        found |= {"stage": first.stage, "place": first.place, "cause": diagnosis.cause,
                  "certainty": diagnosis.certainty, "evidence": diagnosis.evidence[:300]}  # fmt: skip
    if truth is not None:
        place = found.get("place")
        if "layer" in truth:
            i = truth["layer"]
            word = {"sequential": f"body.{i}", "other": f"part{i}"}.get(spec["names"], f"layer{i}")
            right = place is not None and (place == word or str(place).startswith(f"{word}."))
        else:
            right = place == truth["place"] or truth["place"] == "optimizer"
        found |= {"mistake": truth["mistake"], "right_place": bool(right),
                  "right_cause": found.get("cause") in truth["causes"].split()}  # fmt: skip
    return found


def run(number: int, mistakes: bool = True) -> dict[str, Any]:
    """Both answers of the pair of this number."""
    spec = draw(number)
    made = {"faithful": answer(spec)}
    planted = plant(spec) if mistakes else None
    if planted is not None:
        made["planted"] = answer(spec, *planted)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first pair")
    parser.add_argument("--state", type=Path, help="a JSON file of what was run, to go on from")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this long")
    parser.add_argument("--no-mistakes", action="store_true", help="the faithful pairs alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    state: dict[str, Any] = {}
    if arguments.state and arguments.state.exists():
        state = json.loads(arguments.state.read_text(encoding="utf-8"))
    began = time.monotonic()
    for number in range(arguments.first, arguments.first + arguments.pairs):
        if str(number) in state:
            continue
        if time.monotonic() - began > arguments.seconds:
            break
        state[str(number)] = run(number, not arguments.no_mistakes)
        show(number, state[str(number)])
        if arguments.state:
            arguments.state.write_text(json.dumps(state, indent=1), encoding="utf-8")
    rows = summary(state)
    print(json.dumps(rows if not arguments.json else {"summary": rows, "pairs": state}, indent=1))
    return 1 if rows["false alarms"] else 0


def show(number: int, made: dict[str, Any]) -> None:
    faithful, planted = made["faithful"], made.get("planted")
    if _false_alarm(faithful):
        print(f"{number}: FALSE ALARM {faithful}", file=sys.stderr, flush=True)
    if planted is not None and not (planted["right_place"] and planted["right_cause"]):
        print(f"{number}: {planted}", file=sys.stderr, flush=True)


def _false_alarm(faithful: dict[str, Any]) -> bool:
    """A defect of the framework that is named as one is none: the pair really differs."""
    return faithful["verdict"] != "aligned" and faithful.get("cause") != "framework_defect"


def summary(state: dict[str, Any]) -> dict[str, Any]:
    """Counts over all pairs that were run. A cause that is wrong is worse than none: they are counted apart."""
    planted = [made["planted"] for made in state.values() if "planted" in made]
    found = [p for p in planted if p["verdict"] == "diverged"]
    wrong = [p for p in found if not p["right_cause"] and p["cause"] != "unknown"]
    return {
        "pairs": len(state),
        "false alarms": sum(_false_alarm(made["faithful"]) for made in state.values()),
        "defects of the framework": sum(
            made["faithful"].get("cause") == "framework_defect" for made in state.values()
        ),
        "planted": len(planted), "found": len(found), "placed": sum(p["right_place"] for p in found),
        "named": sum(p["right_cause"] for p in found), "unknown": sum(p["cause"] == "unknown" for p in found),
        "wrong cause, surmised": sum(p["certainty"] == "surmised" for p in wrong),
        "wrong cause, proven": sum(p["certainty"] == "proven" for p in wrong),
        "seconds": round(sum(a["seconds"] for made in state.values() for a in made.values())),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
