"""A call's settings under one set of names, whatever framework made it and whether a layer or a function did."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuxian.align.divergence import Scene
from fuxian.align.tracing import Call, plain

NAMES = {
    "epsilon": "epsilon", "_epsilon": "epsilon", "eps": "epsilon", "_eps": "epsilon",
    "momentum": "momentum", "_momentum": "momentum",
    "padding": "padding", "_padding": "padding", "paddings": "padding",
    "padding_mode": "padding_mode", "_padding_mode": "padding_mode",
    "stride": "stride", "_stride": "stride", "strides": "stride",
    "dilation": "dilation", "_dilation": "dilation", "dilations": "dilation",
    "groups": "groups", "_groups": "groups", "output_padding": "output_padding",
    "kernel_size": "kernel_size", "_kernel_size": "kernel_size", "ksize": "kernel_size",
    "kernel_sizes": "kernel_size", "ceil_mode": "ceil_mode", "output_size": "output_size",
    "_output_size": "output_size",
    "exclusive": "exclusive", "count_include_pad": "count_include_pad", "divisor_override": "divisor_override",
    "num_groups": "num_groups", "_num_groups": "num_groups",
    "normalized_shape": "normalized_shape", "_normalized_shape": "normalized_shape",
    "align_corners": "align_corners", "align_mode": "align_mode", "mode": "mode",
    "scale_factor": "scale_factor", "size": "size", "antialias": "antialias",
    "negative_slope": "negative_slope", "_negative_slope": "negative_slope", "alpha": "alpha", "_alpha": "alpha",
    "beta": "beta", "_beta": "beta", "slope": "slope", "offset": "offset", "threshold": "threshold",
    "_threshold": "threshold", "delta": "delta", "approximate": "approximate",
    "axis": "axis", "dim": "axis", "_axis": "axis", "p": "p", "dropout_p": "p", "training": "training",
    "reduction": "reduction", "label_smoothing": "label_smoothing", "ignore_index": "ignore_index",
    "padding_idx": "padding_idx", "_padding_idx": "padding_idx", "soft_label": "soft_label",
    "use_softmax": "use_softmax", "is_causal": "is_causal", "scale": "scale", "margin": "margin",
    "upscale_factor": "upscale_factor", "_upscale_factor": "upscale_factor", "bias": "has_bias",
    "is_huber": "is_huber", "num_layers": "num_layers", "bidirectional": "bidirectional", "temperature": "temperature",
    "min": "low", "max": "high", "transpose_x": "transpose_x", "transpose_y": "transpose_y", "diagonal": "diagonal",
    "sampling_ratio": "sampling_ratio", "aligned": "aligned", "spatial_scale": "spatial_scale", "blank": "blank",
    "time_major": "time_first", "activation": "activation", "nonlinearity": "activation",
    "causal": "is_causal", "softmax_scale": "scale", "log_target": "log_target", "full": "full",
    "log_input": "log_input",
    "swap": "swap", "gamma": "gamma", "hard": "hard", "norm_by_times": "norm_by_times", "max_norm": "max_norm",
    "zero_infinity": "zero_infinity", "shift_ratio": "shift_ratio", "downscale_factor": "upscale_factor",
    "value": "fill", "lambd": "threshold", "norm_type": "norm_type",
    "lower": "low", "upper": "high", "groups_": "groups", "num_heads": "num_heads", "dropout": "p",
}  # fmt: skip

SPATIAL = {
    "stride",
    "dilation",
    "padding",
    "kernel_size",
    "output_padding",
    "scale_factor",
    "output_size",
    "size",
}
LAYER = ("paddle.", "torch.")

COMMON: dict[str, dict[str, Any]] = {
    "conv": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros", "output_padding": 0},
    "pool": {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True},
    "_norm": {"epsilon": 1e-5},
    "normalize": {"epsilon": 1e-12, "axis": 1, "p": 2.0},
    "interpolate": {"mode": "nearest", "align_corners": False, "align_mode": 0, "antialias": False},
    "leaky_relu": {"negative_slope": 0.01},
    "elu": {"alpha": 1.0},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "cross_entropy": {"reduction": "mean", "label_smoothing": 0.0, "ignore_index": -100, "use_softmax": True},
    "nll_loss": {"reduction": "mean", "ignore_index": -100},
    "loss": {"reduction": "mean"},
    "kl_div": {"reduction": "mean", "log_target": False},
    "bce": {"reduction": "mean"},
    "dropout": {"p": 0.5, "mode": "upscale_in_train", "training": True},
    "gelu": {"approximate": False},
    "embedding": {"padding_idx": None},
    "grid": {"mode": "bilinear", "padding_mode": "zeros"},
    "roi": {"spatial_scale": 1.0, "sampling_ratio": -1, "aligned": True},
    "ctc": {"reduction": "mean", "blank": 0},
    "scaled_dot": {"is_causal": False, "scale": None, "p": 0.0},
    "pad": {"mode": "constant", "value": 0.0},
}  # fmt: skip
"""Defaults that both frameworks have, by what is in the operation's name."""

CAUSES = {
    "epsilon": "epsilon", "momentum": "momentum", "padding": "padding", "padding_mode": "padding_mode",
    "stride": "stride", "dilation": "dilation", "groups": "groups", "output_padding": "output_padding",
    "kernel_size": "kernel_size", "ceil_mode": "ceil_mode", "count_include_pad": "count_include_pad",
    "output_size": "kernel_size", "num_groups": "groups", "normalized_shape": "normalised_axes",
    "align_corners": "align_corners", "align_mode": "align_corners", "scale_factor": "resize", "size": "resize",
    "antialias": "interpolation_mode", "negative_slope": "activation_form", "alpha": "activation_form",
    "beta": "activation_form", "low": "activation_form", "high": "activation_form", "slope": "activation_form",
    "offset": "activation_form", "threshold": "activation_form",
    "approximate": "activation_form", "p": "dropout_rate", "reduction": "reduction",
    "label_smoothing": "label_smoothing", "ignore_index": "ignore_index", "padding_idx": "padding_idx",
    "use_softmax": "logits", "soft_label": "label_mapping", "is_causal": "attention_mask", "scale": "attention_scale",
    "upscale_factor": "scale_factor", "delta": "loss_form", "is_huber": "loss_form", "margin": "loss_form",
    "temperature": "scale_factor", "divisor_override": "count_include_pad", "num_heads": "head_order",
    "use_batch": "bn_statistics", "diagonal": "attention_mask", "num_layers": "missing_module",
    "bidirectional": "state_order", "time_first": "axis", "activation": "activation", "aligned": "align_corners",
    "sampling_ratio": "kernel_size", "spatial_scale": "scale_factor", "blank": "ignore_index",
    "log_target": "logits", "full": "loss_form", "log_input": "logits", "swap": "loss_form", "gamma": "loss_form",
    "hard": "activation_form", "norm_by_times": "reduction", "max_norm": "scale_factor", "zero_infinity": "loss_form",
    "shift_ratio": "permutation", "fill": "padding_mode",
    "class_weight": "class_weight", "pos_weight": "class_weight", "norm_type": "pool_kind",
    "scaled": "framework_defect",
}  # fmt: skip
"""What a differing setting is called."""


def canonical(scene: Scene, call: Call) -> dict[str, Any]:
    """The settings of a call, with the defaults that both frameworks share."""
    operation = plain(call.operation)
    found: dict[str, Any] = {}
    for part, defaults in COMMON.items():
        if part in operation:
            found |= defaults
    layer = scene.module.startswith(LAYER) and call.path == scene.path
    sources = [scene.attributes if layer else {}, call.arguments]
    for source in sources:
        for name, value in source.items():
            if name in NAMES and not _is_tensor(value):
                found[NAMES[name]] = value
    first = call.arguments.get("1")
    if "pool" in operation and "kernel_size" not in found and not _is_tensor(first) and first is not None:
        found["kernel_size"] = first
    if "exclusive" in found:
        found["count_include_pad"] = not found.pop("exclusive")
    elif "avg_pool" in operation and scene.framework == "paddle":
        found["count_include_pad"] = False
    if (
        "norm" in operation
        and "momentum" in found
        and scene.framework == "paddle"
        and found["momentum"] is not None
    ):
        found["momentum"] = round(1.0 - float(found["momentum"]), 12)
    if operation == "cross_entropy" and "axis" not in found:
        found["axis"] = 1 if scene.framework == "torch" else -1
    if operation == "interpolate":
        found["align_corners"] = bool(found["align_corners"])  # torch's None is False.
    if operation in ("grid_sample", "affine_grid"):
        found["align_corners"] = bool(found.get("align_corners", scene.framework == "paddle"))
    if "batch_first" in scene.attributes and layer:
        found["time_first"] = not scene.attributes["batch_first"]
    if operation == "gelu":
        found["approximate"] = found.get("approximate") in (True, "tanh")
    if "has_bias" in found:
        found.pop("has_bias")
    if "smooth_l1" in operation:
        huber = found.pop("is_huber", scene.framework == "paddle")
        found["delta"] = float(found.pop("delta", found.pop("beta", 1.0)))
        found["is_huber"] = bool(huber)
    for name, value in list(found.items()):
        if name in SPATIAL:
            found[name] = _even(value)
    if "pool" in operation and "adaptive" not in operation and found.get("stride") is None:
        found["stride"] = found.get("kernel_size")
    if "lp_pool" in operation and found.get("ceil_mode"):
        found["scaled"] = scene.framework == "torch"
    elif "pool" not in operation:
        found.pop("norm_type", None)
    if "adaptive" in operation:
        found = {k: v for k, v in found.items() if k == "output_size"}
    if operation == "batch_norm":
        found["use_batch"] = _uses_batch(scene, call)
    return found


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and "tensor" in value


def _even(value: Any) -> Any:
    """A number in place of a list of equal ones."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, list) and value and all(not isinstance(v, list) and v == value[0] for v in value):
        return value[0]
    return value


def _uses_batch(scene: Scene, call: Call) -> bool:
    if scene.framework == "torch":
        return bool(call.arguments.get("training", False))
    used = scene.attributes.get("_use_global_stats", scene.attributes.get("use_global_stats"))
    used = call.arguments.get("use_global_stats", used)
    training = call.arguments.get("training")
    if training is not None:
        return bool(training) and not used
    return not used if used is not None else bool(scene.attributes.get("training", False))


def differing(port: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """Settings that both sides state, and state otherwise; the likeliest causes first."""
    ignored = {"momentum", "training", "transpose_x", "transpose_y"}
    found = [
        name for name in CAUSES
        if name in port and name in reference and name not in ignored and not _same(port[name], reference[name])
    ]  # fmt: skip
    return found + [
        name for name in ("mode", "axis")
        if name in port and name in reference and not _same(port[name], reference[name])
    ]  # fmt: skip


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return bool(np.isclose(one, two, rtol=1e-6, atol=0))
    return bool(_even(one) == _even(two))
