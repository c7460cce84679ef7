"""Optimizers in numpy: what a rule does to one parameter, given its settings and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rule:
    """An optimizer's settings under one set of names. ``decay_kind`` is ``coupled`` (added to the gradient) or
    ``decoupled`` (taken off the weight)."""

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
}  # fmt: skip
"""Each framework's name of a setting."""


def rules(made: dict[str, Any]) -> dict[str, Rule]:
    """The rule of every parameter, by name, from the recorded settings."""
    found: dict[str, Rule] = {}
    for optimizer in made.values():
        short = optimizer["class"].lower()
        kind = next(
            (KINDS[name] for name in sorted(KINDS, key=len, reverse=True) if short.endswith(name)), short
        )
        for group in optimizer["groups"]:
            settings = {**optimizer["settings"], **group}
            values: dict[str, Any] = {}
            for name, value in settings.items():
                if name == "betas" and isinstance(value, list):
                    values["beta1"], values["beta2"] = value
                elif name in NAMES and isinstance(value, (int, float)):
                    values[NAMES[name]] = value if isinstance(value, bool) else float(value)
            values["rate"] = float(group.get("learning_rate_now", values.get("rate", 0.0)))
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
            root = np.sqrt(second / (1 - rule.beta2**step)) + rule.epsilon
            change = first / (1 - rule.beta1**step) / root
        elif rule.kind == "adagrad":
            second = second + gradient**2
            change = gradient / (np.sqrt(second) + rule.epsilon)
        elif rule.kind == "rmsprop":
            second = rule.smoothing * second + (1 - rule.smoothing) * gradient**2
            mean = rule.smoothing * mean + (1 - rule.smoothing) * gradient
            spread = np.sqrt(second - mean**2 if rule.centred else second)
            first = rule.momentum * first + gradient / (spread + rule.epsilon)
            change = first
        else:
            return None
        weight = weight - rule.rate * change
        found.append(weight - start)
    return found
