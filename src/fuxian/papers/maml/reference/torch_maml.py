"""MAML in PyTorch, task by task with autograd through the inner loop: what the Paddle port is proved against.

Written from the official TensorFlow code's semantics (cbfinn/maml at a7f45f1, ``maml.py`` and ``utils.py``), which
needs ``tf.contrib`` and so no longer runs. Parameters have the official names and layouts (HWIO kernels), hence the
port's.

Shape legend: B examples of a task, N classes.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weights = dict[str, Tensor]
BATCH_NORM_EPSILON = 1e-3


def _same_padding(side: int) -> tuple[int, int]:
    total = max(((side + 1) // 2 - 1) * 2 + 3 - side, 0)
    return total // 2, total - total // 2


class SinusoidNet(nn.Module):
    """1 - 40 - 40 - 1 with ReLU; weights N(0, 0.01) truncated at two deviations, biases 0."""

    def __init__(self, hidden: int = 40):
        super().__init__()
        widths = [1, hidden, hidden, 1]
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths), start=1):
            weight = nn.init.trunc_normal_(torch.empty(fan_in, fan_out), std=0.01, a=-0.02, b=0.02)
            self.register_parameter(f"w{i}", nn.Parameter(weight))
            self.register_parameter(f"b{i}", nn.Parameter(torch.zeros(fan_out)))

    def adapted_parameters(self) -> Weights:
        return dict(self.named_parameters())

    def predict(self, weights: Weights, x_B1: Tensor) -> Tensor:
        hidden = torch.relu(x_B1 @ weights["w1"] + weights["b1"])
        hidden = torch.relu(hidden @ weights["w2"] + weights["b2"])
        return hidden @ weights["w3"] + weights["b3"]

    def inner_loss(self, prediction_B1: Tensor, y_B1: Tensor) -> Tensor:
        return (prediction_B1 - y_B1).square().mean()


class OmniglotNet(nn.Module):
    """Four blocks of 3x3 stride-2 'SAME' convolution, BN by batch statistics, ReLU; spatial mean; linear."""

    def __init__(self, ways: int = 5, filters: int = 64):
        super().__init__()
        channels = 1
        for i in range(1, 5):
            bound = (6.0 / (9 * channels + 9 * filters)) ** 0.5
            kernel = torch.empty(3, 3, channels, filters).uniform_(-bound, bound)
            self.register_parameter(f"conv{i}", nn.Parameter(kernel))
            self.register_parameter(f"b{i}", nn.Parameter(torch.zeros(filters)))
            self.register_parameter(f"beta{i}", nn.Parameter(torch.zeros(filters)))
            channels = filters
        self.w5 = nn.Parameter(torch.randn(filters, ways))
        self.b5 = nn.Parameter(torch.zeros(ways))

    def adapted_parameters(self) -> Weights:
        return {name: p for name, p in self.named_parameters() if not name.startswith("beta")}

    def predict(self, weights: Weights, x_BHW: Tensor) -> Tensor:
        x = x_BHW.unsqueeze(1)
        for i in range(1, 5):
            before, after = _same_padding(x.shape[-1])
            x = F.pad(x, (before, after, before, after))
            x = F.conv2d(x, weights[f"conv{i}"].permute(3, 2, 0, 1), weights[f"b{i}"], stride=2)
            beta = getattr(self, f"beta{i}")
            x = torch.relu(F.batch_norm(x, None, None, None, beta, training=True, eps=BATCH_NORM_EPSILON))
        return x.mean((2, 3)) @ weights["w5"] + weights["b5"]

    def inner_loss(self, logits_BN: Tensor, y_BN: Tensor) -> Tensor:
        shots = y_BN.shape[0] // y_BN.shape[1]
        return -(F.log_softmax(logits_BN, -1) * y_BN).sum() / shots


def adapt(
    net: SinusoidNet | OmniglotNet,
    support: tuple[Tensor, Tensor],
    *,
    steps: int,
    step_size: float,
    second_order: bool = True,
) -> list[Weights]:
    """One task's weights before the first inner step and after each."""
    x, y = support
    weights = dict(net.adapted_parameters())
    trajectory = [weights]
    for _ in range(steps):
        loss = net.inner_loss(net.predict(weights, x), y)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=second_order)
        weights = {name: w - step_size * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        trajectory.append(weights)
    return trajectory
