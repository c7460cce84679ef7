"""Optimizers in numpy: what a rule does to one parameter, given its settings and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuxian.align.record import ISOLATED_RATE


@dataclass(frozen=True)
class Rule:
    """An optimizer's settings under one set of names. ``decay_kind`` is ``coupled`` (added to the gradient) or
    ``decoupled`` (taken off the weight). ``rate`` is the one that the optimizer was stepped with alone.
    ``epsilon_place``: RMSProp divides by the root of v plus epsilon in torch, by the root of (v + epsilon) in Paddle;
    Adamax adds it to the gradient's size in torch, to the decayed norm in Paddle. ``momentum_decay`` is NAdam's,
    ``rate_decay`` torch's Adagrad's. Rprop multiplies a step by ``fall`` or ``rise``, and keeps it from ``least`` to
    ``most``."""

    kind: str = "sgd"
    rate: float = 0.0
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0
    decay_kind: str = "coupled"
    initial: float = 0.0
    smoothing: float = 0.99
    centred: bool = False
    epsilon_place: str = "outside the root"
    amsgrad: bool = False
    momentum_decay: float = 0.004
    rate_decay: float = 0.0
    fall: float = 0.5
    rise: float = 1.2
    least: float = 1e-6
    most: float = 50.0


KINDS = {
    "sgd": "sgd", "momentum": "sgd", "adam": "adam", "adamw": "adam", "adagrad": "adagrad", "rmsprop": "rmsprop",
    "nadam": "nadam", "radam": "radam", "adamax": "adamax", "adadelta": "adadelta", "lamb": "lamb",
    "lars": "lars", "asgd": "asgd", "rprop": "rprop", "lbfgs": "lbfgs",
}  # fmt: skip
NAMES = {
    "lr": "rate", "learning_rate_now": "rate", "_momentum": "momentum", "momentum": "momentum",
    "dampening": "dampening", "_dampening": "dampening", "nesterov": "nesterov", "_use_nesterov": "nesterov",
    "_beta1": "beta1", "_beta2": "beta2", "beta1": "beta1", "beta2": "beta2", "eps": "epsilon",
    "_epsilon": "epsilon", "epsilon": "epsilon", "weight_decay": "decay", "_regularization_coeff": "decay",
    "regularization_coeff": "decay",
    "_weight_decay": "decay", "initial_accumulator_value": "initial", "_initial_accumulator_value": "initial",
    "alpha": "smoothing", "_rho": "smoothing", "rho": "smoothing", "centered": "centred", "_centered": "centred",
    "amsgrad": "amsgrad", "_amsgrad": "amsgrad", "use_nesterov": "nesterov",
    "momentum_decay": "momentum_decay", "_momentum_decay": "momentum_decay", "lr_decay": "rate_decay",
}  # fmt: skip
"""Each framework's name of a setting."""


PAIRS = {
    "betas": ("beta1", "beta2"), "etas": ("fall", "rise"), "_etas": ("fall", "rise"),
    "step_sizes": ("least", "most"), "_learning_rate_range": ("least", "most"),
    "learning_rate_range": ("least", "most"),
}  # fmt: skip
"""Settings that are two in one."""
OF_PADDLE = {"RMSProp": "inside the root", "Adamax": "beside the norm"}
"""Where Paddle's own classes have epsilon."""


def _own_rate(group: dict[str, Any]) -> float:
    return float(group.get("initial_lr", group.get("learning_rate_now", 0.0)))


def _flat(value: list[Any]) -> list[float]:
    """The numbers, which Paddle's Rprop keeps in a list of their own."""
    return [float(part) for part in (value[0] if isinstance(value[0], list) else value)]


def rules(made: dict[str, Any]) -> dict[str, Rule]:
    """The rule of every parameter, by name, from the recorded settings."""
    found: dict[str, Rule] = {}
    for optimizer in made.values():
        short = optimizer["class"].lower()
        kind = next(
            (KINDS[name] for name in sorted(KINDS, key=len, reverse=True) if short.endswith(name)), short
        )
        highest = max((_own_rate(group) for group in optimizer["groups"]), default=0.0)
        for group in optimizer["groups"]:
            settings = {**optimizer["settings"], **group}
            values: dict[str, Any] = {}
            for name, value in settings.items():
                if name in PAIRS and isinstance(value, list):
                    values |= dict(zip(PAIRS[name], _flat(value), strict=False))
                elif name in NAMES and isinstance(value, (int, float)):
                    values[NAMES[name]] = value if isinstance(value, bool) else float(value)
            values["rate"] = ISOLATED_RATE * (_own_rate(group) / highest if highest > 0 else 1.0)
            if optimizer["class"] in OF_PADDLE:
                values["epsilon_place"] = OF_PADDLE[optimizer["class"]]
            elif kind == "adamax":
                values["epsilon_place"] = "beside the gradient"
            decoupled = short.endswith("adamw") or settings.get("decoupled_weight_decay")
            values["decay_kind"] = "decoupled" if decoupled else "coupled"
            if kind != "sgd":
                values.pop("momentum", None) if kind != "rmsprop" else None
            for name in group["params"]:
                found[name] = Rule(kind=kind, **values)
    return found


def updates(rule: Rule, weight: np.ndarray, gradients: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """What the rule adds to a weight, step by step; None for a rule that is not known here."""
    weight = weight.astype(np.float64)
    found, product, size = [], 1.0, np.zeros_like(weight)
    first, second, mean = np.zeros_like(weight), np.full_like(weight, rule.initial), np.zeros_like(weight)
    for step, given in enumerate(gradients, 1):
        start = weight
        gradient = given.astype(np.float64)
        if rule.decay_kind == "coupled":
            gradient = gradient + rule.decay * weight
        else:
            weight = weight * (1.0 - rule.rate * rule.decay)
        if rule.kind == "sgd":
            first = gradient if step == 1 else rule.momentum * first + (1.0 - rule.dampening) * gradient
            change = (
                gradient + rule.momentum * first if rule.nesterov else first if rule.momentum else gradient
            )
        elif rule.kind == "adam":
            first = rule.beta1 * first + (1 - rule.beta1) * gradient
            second = rule.beta2 * second + (1 - rule.beta2) * gradient**2
            mean = np.maximum(mean, second)
            largest = mean if rule.amsgrad else second
            root = np.sqrt(largest / (1 - rule.beta2**step)) + rule.epsilon
            change = first / (1 - rule.beta1**step) / root
        elif rule.kind == "nadam":
            first = rule.beta1 * first + (1 - rule.beta1) * gradient
            second = rule.beta2 * second + (1 - rule.beta2) * gradient**2
            now, later = (
                rule.beta1 * (1 - 0.5 * 0.96 ** (t * rule.momentum_decay)) for t in (step, step + 1)
            )
            product *= now
            root = np.sqrt(second / (1 - rule.beta2**step)) + rule.epsilon
            change = ((1 - now) / (1 - product) * gradient + later / (1 - product * later) * first) / root
        elif rule.kind == "radam":
            first = rule.beta1 * first + (1 - rule.beta1) * gradient
            second = rule.beta2 * second + (1 - rule.beta2) * gradient**2
            change = first / (1 - rule.beta1**step) * _rectified(rule, step, second)
        elif rule.kind == "rprop":
            turned = np.sign(gradient * first)
            size = size if step > 1 else np.full_like(weight, rule.rate)
            factor = np.where(turned > 0, rule.rise, np.where(turned < 0, rule.fall, 1.0))
            size = np.clip(size * factor, rule.least, rule.most)
            first = np.where(turned < 0, 0.0, gradient)
            change = np.sign(first) * size / rule.rate
        elif rule.kind == "adagrad":
            second = second + gradient**2
            change = gradient / (np.sqrt(second) + rule.epsilon) / (1 + (step - 1) * rule.rate_decay)
        elif rule.kind == "rmsprop":
            second = rule.smoothing * second + (1 - rule.smoothing) * gradient**2
            mean = rule.smoothing * mean + (1 - rule.smoothing) * gradient
            inside = rule.epsilon if rule.epsilon_place == "inside the root" else 0.0
            spread = np.sqrt(second - mean**2 + inside if rule.centred else second + inside)
            first = rule.momentum * first + gradient / (spread + (0.0 if inside else rule.epsilon))
            change = first
        elif rule.kind == "adadelta":
            second = rule.smoothing * second + (1 - rule.smoothing) * gradient**2
            change = np.sqrt(mean + rule.epsilon) / np.sqrt(second + rule.epsilon) * gradient
            mean = rule.smoothing * mean + (1 - rule.smoothing) * change**2
        elif rule.kind == "adamax":
            first = rule.beta1 * first + (1 - rule.beta1) * gradient
            beside = rule.epsilon if rule.epsilon_place == "beside the gradient" else 0.0
            second = np.maximum(rule.beta2 * second + (rule.epsilon - beside), np.abs(gradient) + beside)
            change = first / (1 - rule.beta1**step) / second
        else:
            return None
        weight = weight - rule.rate * change
        found.append(weight - start)
    return found


def _rectified(rule: Rule, step: int, second: np.ndarray) -> np.ndarray | float:
    """What RAdam multiplies the mean gradient by: one, until the variance's own variance is small enough."""
    limit, power = 2 / (1 - rule.beta2) - 1, rule.beta2**step
    length = limit - 2 * step * power / (1 - power)
    if length <= 5:
        return 1.0
    share = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
    return np.sqrt(share * (1 - power)) / (np.sqrt(second) + rule.epsilon)
