"""Differences that the frameworks have among themselves: named, bounded, and no bug of a port.

Each entry says what a correct port cannot avoid, with the largest relative perturbation it makes at its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fuxian.align.recording import Recording
from fuxian.align.sketch import COUNT, L2, LOW, SUM


@dataclass(frozen=True)
class Known:
    """One difference: its name, why it is there, and its largest relative perturbation."""

    name: str
    reason: str
    bound: float


FLOAT32_UNIT = 2.0**-24


def _float32_error(value: float) -> float:
    return abs(float(np.float32(value)) / value - 1.0) if value else 0.0


def _numbers(value: Any) -> list[float]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [float(value)]
    return [number for part in value for number in _numbers(part)] if isinstance(value, list) else []


def in_calls(port: Recording, reference: Recording, prefix: str, *, backward: bool) -> list[Known]:
    """The known differences that a forward (and backward) pass meets. Only Paddle against torch has any."""
    if {port.framework, reference.framework} != {"paddle", "torch"}:
        return []
    paddle = port if port.framework == "paddle" else reference
    found: dict[str, Known] = {}

    def meet(known: Known) -> None:
        if known.bound > found.get(known.name, Known("", "", -1.0)).bound:
            found[known.name] = known

    settings = {module["path"]: module["settings"] for module in paddle.data["modules"]}
    for call in paddle.data.get("trace", {}).get(prefix, {}).get("calls", ()):
        operation = call["operation"]
        if operation == "batch_norm":
            meet(_batch_norm(paddle, call, settings.get(call["path"], {}), training=prefix == "train"))
        elif "lp_pool" in operation:
            meet(Known("LP pooling in float32", "Paddle takes powers and roots in float32", 2.4e-7))
        elif "avg_pool" in operation and backward:
            meet(_average_pool(call, settings.get(call["path"], {})))
        elif operation in ("hardsigmoid", "hardswish"):
            meet(Known("hardsigmoid slope", "Paddle's slope is 0.1666667, torch's 1/6", 2.1e-7))
        elif "interpolate" in operation or operation == "upsample":
            meet(Known("interpolation in float32", "Paddle computes ratios and weights in float32", 2.4e-7))
        elif operation.endswith("norm"):
            meet(_norm(paddle, prefix, call, settings.get(call["path"], {})))
        if call["name"].startswith(("paddle.nn.functional", "paddle.nn.layer")):
            meet(_attributes(call, settings.get(call["path"], {})))
    down = [_casts_down(side, prefix) for side in (port, reference)]
    if all(down):
        meet(Known("float32 inside", "both sides cast to float32 on the way", 2 * FLOAT32_UNIT))
    meet(_constants(port, reference, prefix))
    return [known for known in found.values() if known.name != CONSTANTS or known.bound]


CONSTANTS = "constants in float32"


def _constants(port: Recording, reference: Recording, prefix: str) -> Known:
    """Numbers that one side alone holds in float32 where it computes in float64: 0.1 is 1.5e-8 more there."""
    held = [_rounded(side, prefix) for side in (port, reference)]
    alone = {number for number in held[0] ^ held[1] if number}
    bound = max((abs(float(str(np.float32(n))) / n - 1.0) for n in alone), default=0.0)
    return Known(CONSTANTS, "one side alone holds a number in float32", min(bound, FLOAT32_UNIT))


def _rounded(recording: Recording, prefix: str) -> set[float]:
    """The numbers of a float64 run that are a decimal number's float32: arguments, and small constant tensors."""
    if recording.data.get("dtype") != "float64":
        return set()
    found: set[float] = set()
    for call in recording.data.get("trace", {}).get(prefix, {}).get("calls", ()):
        found.update(_numbers([v for v in call["arguments"].values() if isinstance(v, (int, float, list))]))
        for name in (f"{prefix}/values/{i}" for i in call["inputs"] if ".c" in i):
            if name in recording and recording.dtype(name) == "float32" and recording.kept(name):
                found.update(np.unique(recording.get(name)).astype(float)[:MANY].tolist())
    with np.errstate(over="ignore"):
        return {n for n in found if float(np.float32(n)) == n and float(str(np.float32(n))) != n}


MANY = 10_000
"""Different numbers of a constant that are looked at."""


def _batch_norm(
    recording: Recording, call: dict[str, Any], settings: dict[str, Any], *, training: bool
) -> Known:
    epsilon = _epsilon(call, settings)
    share = 1.0
    variance = next((i for i in call["inputs"] if i.endswith("_variance")), None)
    name = f"weights/{variance.removeprefix('parameters.')}" if variance else ""
    if not training and name in recording:
        lowest = float(recording.sketch(name)[LOW])
        share = epsilon / (max(lowest, 0.0) + epsilon)
    return Known(
        "batch norm's epsilon in float32",
        "Paddle keeps it in float32",
        _float32_error(float(epsilon)) * share,
    )


EPSILONS = ("epsilon", "_epsilon", "eps", "_eps")


def _epsilon(call: dict[str, Any], settings: dict[str, Any]) -> float:
    """The epsilon that a call was given, or its layer has."""
    given = [source.get(name) for source in (call["arguments"], settings) for name in EPSILONS]
    return next((float(value) for value in given if isinstance(value, (int, float)) and value), 1e-5)


def _norm(recording: Recording, prefix: str, call: dict[str, Any], settings: dict[str, Any]) -> Known:
    """Layer, group and instance norm: epsilon matters as far as the variance is small."""
    epsilon = _epsilon(call, settings)
    name = f"{prefix}/values/{call['inputs'][0]}" if call["inputs"] else ""
    share = 1.0
    if name in recording:
        vector = recording.sketch(name)
        count = max(vector[COUNT], 1.0)
        variance = max(vector[L2] ** 2 / count - (vector[SUM] / count) ** 2, 0.0)
        share = min(1.0, 100 * epsilon / (variance + epsilon))
    return Known("a norm's epsilon in float32", "Paddle keeps it in float32", _float32_error(epsilon) * share)


def _attributes(call: dict[str, Any], settings: dict[str, Any]) -> Known:
    """Slopes, label smoothing and the like: an operation's plain numbers are float32 in Paddle."""
    arguments = call["arguments"] if call["name"].startswith("paddle.nn.functional") else settings
    ignored = {*EPSILONS, "p", "dropout", "momentum", "_momentum", "scale_factor", "dropout_p"}
    values = [v for n, v in arguments.items() if isinstance(v, float) and n not in ignored and np.isfinite(v)]
    bound = max([_float32_error(value) for value in values] or [0.0])
    return Known("numbers in float32", "Paddle keeps an operation's plain numbers in float32", bound)


def _average_pool(call: dict[str, Any], settings: dict[str, Any]) -> Known:
    window = [
        n
        for name in ("kernel_size", "ksize")
        for n in _numbers(call["arguments"].get(name, settings.get(name)))
    ]
    area = (
        float(np.prod(window)) * (window[0] if len(window) == 1 and "2d" in call["operation"] else 1.0) or 3.0
    )
    bound = _float32_error(1.0 / area) if window and "adaptive" not in call["operation"] else FLOAT32_UNIT
    return Known("average pooling's backward", "Paddle multiplies with float32(1/window)", bound)


def _casts_down(recording: Recording, prefix: str) -> bool:
    types = recording.tensors
    for call in recording.data.get("trace", {}).get(prefix, {}).get("calls", ()):
        kinds = [
            [types[name]["dtype"] for name in (f"{prefix}/values/{i}" for i in ids) if name in types]
            for ids in (call["inputs"], call["outputs"])
        ]
        if "float64" in kinds[0] and "float32" in kinds[1]:
            return True
    return False


OPTIMIZER = Known(
    "learning rate in float32", "Paddle keeps learning rate, betas and their powers in float32", 5e-6
)
RUNNING_VARIANCE = Known(
    "running variance", "Paddle's is of the biased batch variance, torch's of the unbiased one: n/(n-1)", 0.0
)


def momentum_in_float32(port: Recording) -> Known:
    """What a batch adds to a running statistic is 1 - momentum of it, with the momentum in float32."""
    momenta = [m["settings"].get("_momentum") for m in port.data["modules"]]
    shares = [
        abs(float(np.float32(m)) - m) / (1.0 - m) for m in momenta if isinstance(m, float) and 0 < m < 1
    ]
    bound = max([1.2e-7, *(1.01 * share for share in shares)])
    return Known("batch norm's momentum in float32", "Paddle keeps it in float32", bound)
