"""Runs one recorded call again in numpy, with the settings it had or others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuxian.align.diagnose import kernels, recurrent, sampling
from fuxian.align.diagnose.settings import canonical
from fuxian.align.divergence import Scene
from fuxian.align.tracing import Call, plain

ROLES = {
    "input": "x", "x": "x", "weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance",
    "label": "label", "target": "label", "y": "label", "query": "query", "key": "key", "value": "value",
    "logit": "x", "0": "x", "pos_weight": "pos_weight", "attn_mask": "mask", "other": "label", "theta": "x",
    "log_probs": "x", "labels": "label", "targets": "label", "input_lengths": "steps", "label_lengths": "lengths",
    "target_lengths": "lengths",
}  # fmt: skip
SUFFIXES = {"_mean": "mean", "running_mean": "mean", "_variance": "variance", "running_var": "variance",
            "weight": "weight", "scale": "weight", "bias": "bias", "_weight": "weight"}  # fmt: skip


@dataclass
class Run:
    """A call that can be run again: its tensors by role, its settings and its kernel."""

    operation: str
    tensors: dict[str, np.ndarray]
    settings: dict[str, Any]
    kernel: Callable[[dict[str, np.ndarray], dict[str, Any]], np.ndarray]

    def __call__(self, **changes: Any) -> np.ndarray | None:
        """The output; None where the kernel cannot run with these settings."""
        try:
            with np.errstate(all="ignore"):
                return self.kernel(self.tensors, {**self.settings, **changes})
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, np.exceptions.AxisError):
            return None


def rerun(scene: Scene, call: Call, parameter: Callable[[str], np.ndarray | None]) -> Run | None:
    """The call as a ``Run``; ``parameter`` gives a parameter's elements by its id. None where it has no kernel."""
    operation = plain(call.operation)
    kernel = _kernel(operation)
    if kernel is None:
        return None
    tensors: dict[str, np.ndarray] = {}

    def take(role: str, identity: str) -> None:
        array = scene.tensors.get(identity)
        if array is None and identity.startswith("parameters."):
            array = parameter(identity)
        if array is not None and role not in tensors:
            tensors[role] = array.astype(np.float64) if array.dtype.kind == "f" else array

    for name, value in call.arguments.items():
        if isinstance(value, dict) and "tensor" in value:
            take(ROLES.get(name, name), value["tensor"])
    for place, identity in enumerate(call.inputs):
        suffix = identity.rpartition(".")[2]
        if identity.startswith("parameters.") and operation in RECURRENT:
            take(suffix, identity)
        elif identity.startswith("parameters.") and suffix in SUFFIXES:
            take(SUFFIXES[suffix], identity)
        elif place == 0:
            take("x", identity)
    if "x" not in tensors and "query" not in tensors:
        return None
    settings = canonical(scene, call)
    if operation == "affine_grid" and call.outputs and call.outputs[0] in scene.tensors:
        settings["size"] = list(scene.tensors[call.outputs[0]].shape[1:-1])
    if "mask" in tensors:
        settings["mask"] = tensors["mask"]
    if operation in ("linear",) and "weight" in tensors and scene.framework == "paddle":
        tensors["weight"] = tensors["weight"].T
    if "loss" in operation or "entropy" in operation or "bce" in operation:
        if "weight" in tensors:
            settings["class_weight"] = tensors.pop("weight")
        settings["pos_weight"] = tensors.get("pos_weight")
    return Run(operation, tensors, settings, kernel)


def _kernel(operation: str) -> Callable[[dict[str, np.ndarray], dict[str, Any]], np.ndarray] | None:
    if operation.startswith("conv") and operation.endswith("transpose"):
        return lambda t, s: kernels.transposed_convolution(t["x"], t["weight"], t.get("bias"), s)
    if operation.startswith("conv"):
        return lambda t, s: kernels.convolution(t["x"], t["weight"], t.get("bias"), s)
    if "lp_pool" in operation:
        return lambda t, s: kernels.power_pool(t["x"], s)
    if "pool" in operation:
        kind = "max" if "max" in operation else "avg"
        if "adaptive" in operation:
            return lambda t, s: kernels.adaptive_pool(t["x"], kind, s)
        return lambda t, s: kernels.pool(t["x"], kind, s)
    if operation in RECURRENT:
        return lambda t, s: recurrent.run(
            RECURRENT[operation],
            t["x"],
            t,
            time_first=bool(s["time_first"]),
            activation=s.get("activation", "tanh"),
        )
    return _OTHERS.get(operation)


RECURRENT = {
    "lstm": "lstm",
    "gru": "gru",
    "simple_rnn": "rnn",
    "rnn": "rnn",
    "rnn_tanh": "rnn",
    "rnn_relu": "rnn",
}


def _roi_align(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    boxes = t["boxes"]
    if boxes.shape[-1] == 5:  # torchvision's have the picture's number in front.
        return sampling.roi_align(t["x"], boxes[:, 1:], boxes[:, 0], s)
    owner = np.repeat(np.arange(len(t["boxes_num"])), t["boxes_num"].astype(int))
    return sampling.roi_align(t["x"], boxes, owner, s)


def _ctc(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    each = sampling.ctc(t["x"], t["label"], t["steps"], t["lengths"], int(s.get("blank", 0)))
    if s.get("reduction", "mean") == "mean":
        return np.asarray((each / np.maximum(t["lengths"], 1)).mean())
    return np.asarray(each.sum()) if s["reduction"] == "sum" else each


def _linear(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    weight = t["weight"].T if s.get("transposed") else t["weight"]
    made = t["x"] @ weight.T
    return made + t["bias"] if "bias" in t else made


def _resized(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    count = t["x"].ndim - 2
    size = s.get("size")
    if size is None:
        factor = s["scale_factor"]
        factors = factor if isinstance(factor, list) else [factor] * count
        size = [int(n * f) for n, f in zip(t["x"].shape[2:], factors, strict=True)]
    return kernels.interpolation(t["x"], s, kernels.spread(size, count))


def _embedded(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    made = t["weight"][t["x"].astype(int)]
    return np.where((t["x"] == s["padding_idx"])[..., None], 0.0, made) if s.get("zero_padding") else made


def _leaky(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    return np.where(t["x"] > 0, t["x"], float(s.get("negative_slope", 0.01)) * t["x"])


def _distance(kind: str) -> Callable[[dict[str, np.ndarray], dict[str, Any]], np.ndarray]:
    def run(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
        size = float(s.get("delta", 1.0))
        name = kind if kind != "smooth" else ("Huber" if s.get("is_huber") else "smooth L1")
        values = kernels.distance_losses(t["x"] - t["label"], size)[name]
        return kernels.reduced(values, s.get("reduction", "mean"))

    return run


def _divergence(t: dict[str, np.ndarray], s: dict[str, Any]) -> np.ndarray:
    label = t["label"]
    logarithm = label if s.get("log_target") else np.log(np.maximum(label, 1e-300))
    values = (np.exp(label) if s.get("log_target") else label) * (logarithm - t["x"])
    if s.get("reduction") == "batchmean":
        return np.asarray(values.sum() / len(values))
    return kernels.reduced(values, s.get("reduction", "mean"))


_OTHERS: dict[str, Callable[[dict[str, np.ndarray], dict[str, Any]], np.ndarray]] = {
    "linear": _linear,
    "batch_norm": lambda t, s: kernels.batch_norm(t["x"], t, s),
    "layer_norm": lambda t, s: kernels.layer_norm(t["x"], t, s),
    "group_norm": lambda t, s: kernels.group_norm(t["x"], t, s),
    "instance_norm": lambda t, s: kernels.instance_norm(t["x"], t, s),
    "interpolate": _resized,
    "embedding": _embedded,
    "leaky_relu": _leaky,
    "elu": lambda t, s: kernels.elu(t["x"], float(s.get("alpha", 1.0))),
    "gelu": lambda t, s: kernels.gelu_tanh(t["x"]) if s.get("approximate") else kernels.gelu(t["x"]),
    "normalize": lambda t, s: (
        t["x"]
        / np.maximum(
            np.sqrt((t["x"] ** 2).sum(int(s.get("axis", 1)), keepdims=True)), float(s.get("epsilon", 1e-12))
        )
    ),
    "softplus": lambda t, s: (
        np.logaddexp(0.0, float(s.get("beta", 1.0)) * t["x"]) / float(s.get("beta", 1.0))
    ),
    "clip": lambda t, s: np.clip(t["x"], s.get("low"), s.get("high")),
    "softmax": lambda t, s: kernels.softmax(t["x"], int(s.get("axis", -1))),
    "cross_entropy": lambda t, s: kernels.cross_entropy(t["x"], t["label"], s),
    "bce_with_logits": lambda t, s: kernels.binary_cross_entropy(t["x"], t["label"], s),
    "bce": lambda t, s: kernels.binary_cross_entropy(t["x"], t["label"], {**s, "probabilities": True}),
    "kl_div": _divergence,
    "mse_loss": _distance("squared error"),
    "l1_loss": _distance("absolute error"),
    "smooth_l1_loss": _distance("smooth"),
    "huber_loss": _distance("Huber"),
    "affine_grid": lambda t, s: sampling.affine_grid(t["x"], s["size"], bool(s.get("align_corners"))),
    "grid_sample": lambda t, s: sampling.grid_sample(
        t["x"], t["grid"], s["mode"], s["padding_mode"], bool(s.get("align_corners"))
    ),
    "roi_align": _roi_align,
    "ctc_loss": _ctc,
    "log_softmax": lambda t, s: np.log(np.maximum(kernels.softmax(t["x"], int(s.get("axis", -1))), 1e-300)),
    "scaled_dot_product_attention": lambda t, s: kernels.attention(t["query"], t["key"], t["value"], s),
}
