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
    Adamax adds it to the gradient's size in torch, to the decayed norm in Paddle."""

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
}  # fmt: skip
"""Each framework's name of a setting."""


OF_PADDLE = {"RMSProp": "inside the root", "Adamax": "beside the norm"}
"""Where Paddle's own classes have epsilon."""


def _own_rate(group: dict[str, Any]) -> float:
    return float(group.get("initial_lr", group.get("learning_rate_now", 0.0)))


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
                if name == "betas" and isinstance(value, list):
                    values["beta1"], values["beta2"] = value
                elif name in NAMES and isinstance(value, (int, float)):
                    values[NAMES[name]] = value if isinstance(value, bool) else float(value)
            values["rate"] = ISOLATED_RATE * (_own_rate(group) / highest if highest > 0 else 1.0)
            if optimizer["class"] in OF_PADDLE:
                values["epsilon_place"] = OF_PADDLE[optimizer["class"]]
            elif kind == "adamax":
                values["epsilon_place"] = "beside the gradient"
            values["decay_kind"] = "decoupled" if short.endswith("adamw") else "coupled"
            if kind != "sgd":
                values.pop("momentum", None) if kind != "rmsprop" else None
            for name in group["params"]:
                found[name] = Rule(kind=kind, **values)
    return found


def updates(rule: Rule, weight: np.ndarray, gradients: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """What the rule adds to a weight, step by step; None for a rule that is not known here."""
    weight = weight.astype(np.float64)
    found = []
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
        elif rule.kind == "adagrad":
            second = second + gradient**2
            change = gradient / (np.sqrt(second) + rule.epsilon)
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
