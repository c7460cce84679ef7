"""Recurrent layers in numpy, float64: LSTM, GRU and plain RNN, of several layers, in one or two directions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

Weights = Mapping[str, np.ndarray]
"""By torch's names: ``weight_ih_l0``, ``bias_hh_l1_reverse`` and so on."""


def run(
    kind: str, x: np.ndarray, weights: Weights, *, time_first: bool, activation: str = "tanh"
) -> np.ndarray:
    """The outputs of the last layer, laid out as ``x``; the states begin at zero."""
    sequence = x if time_first else x.transpose(1, 0, 2)
    layer = 0
    while f"weight_ih_l{layer}" in weights:
        made = [_one_way(kind, sequence, weights, f"_l{layer}", activation)]
        if f"weight_ih_l{layer}_reverse" in weights:
            made.append(_one_way(kind, sequence[::-1], weights, f"_l{layer}_reverse", activation)[::-1])
        sequence = np.concatenate(made, -1)
        layer += 1
    return sequence if time_first else sequence.transpose(1, 0, 2)


def _one_way(kind: str, sequence: np.ndarray, weights: Weights, suffix: str, activation: str) -> np.ndarray:
    inner, outer = weights[f"weight_hh{suffix}"], weights[f"weight_ih{suffix}"]
    bias = [weights.get(f"bias_{part}{suffix}", np.zeros(len(inner))) for part in ("ih", "hh")]
    hidden = np.zeros((sequence.shape[1], inner.shape[1]))
    cell = np.zeros_like(hidden)
    found = []
    for x in sequence:
        given, kept = x @ outer.T + bias[0], hidden @ inner.T + bias[1]
        if kind == "lstm":
            i, f, g, o = np.split(given + kept, 4, -1)
            cell = expit(f) * cell + expit(i) * np.tanh(g)
            hidden = expit(o) * np.tanh(cell)
        elif kind == "gru":
            (r1, z1, n1), (r2, z2, n2) = np.split(given, 3, -1), np.split(kept, 3, -1)
            z = expit(z1 + z2)
            hidden = (1 - z) * np.tanh(n1 + expit(r1 + r2) * n2) + z * hidden
        else:
            total = given + kept
            hidden = np.maximum(total, 0) if activation == "relu" else np.tanh(total)
        found.append(hidden)
    return np.stack(found)
