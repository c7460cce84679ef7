"""MAML's two networks, each evaluated for all tasks of a meta-batch at once.

A network offers two functions of *per-task* weights: ``predict`` and ``gradient`` (the gradient of the inner loss).
Both are plain differentiable forward computation (see ops.py), so the meta-gradient of a loss after any number of
inner steps is one ``backward()``.

Shape legend: T tasks, B examples of a task, N classes, P rows (examples times positions), C channels.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import paddle
from paddle import Tensor, nn

from fuxian.papers.maml.ops import (
    col2im,
    im2col,
    normalize,
    normalize_gradient,
    repeat_rows,
    repeat_tasks,
    row_sum,
    shift_relu,
)

Weights = dict[str, Tensor]
IMAGE_SIDE = 28
CONV_LAYERS = 4


class SinusoidNet(nn.Layer):
    """The regressor of the paper's section 5.1: 1 - 40 - 40 - 1 with ReLU.

    Weights from a normal of standard deviation 0.01 truncated at two of them, biases 0 (official maml.py,
    ``construct_fc_weights``). Parameters: ``w1`` [1, 40], ``b1`` [40], ``w2``, ``b2``, ``w3``, ``b3``.
    """

    def __init__(self, hidden: int = 40):
        super().__init__()
        widths = [1, hidden, hidden, 1]
        for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths), start=1):
            normal = nn.initializer.TruncatedNormal(mean=0.0, std=0.01)
            zero = nn.initializer.Constant(0.0)
            self.add_parameter(f"w{i}", self.create_parameter([fan_in, fan_out], default_initializer=normal))
            self.add_parameter(f"b{i}", self.create_parameter([fan_out], default_initializer=zero))

    def adapted_parameters(self) -> Weights:
        """The meta-parameters that inner steps change, by name: all of them."""
        return dict(self.named_parameters())

    def predict(self, weights: Weights, x_TB1: Tensor) -> Tensor:
        """Predictions [T, B, 1] at x [T, B, 1] with the tasks' own weights (w1 [T, 1, 40], b1 [T, 40], ...)."""
        return self._layers(weights, x_TB1)[-1]

    def _layers(self, weights: Weights, x: Tensor) -> list[Tensor]:
        activations = [x]
        for i in (1, 2, 3):
            bias = repeat_rows(weights[f"b{i}"].unsqueeze(1), x.shape[1])
            x = paddle.matmul(x, weights[f"w{i}"]) + bias
            if i < 3:
                x = nn.functional.relu(x)
            activations.append(x)
        return activations

    def gradient(self, weights: Weights, x_TB1: Tensor, y_TB1: Tensor) -> Weights:
        """Gradient of each task's mean squared error (equation 2) by its own weights."""
        *inputs, prediction = self._layers(weights, x_TB1)
        grad = (prediction - y_TB1) * (2.0 / y_TB1.shape[1])
        gradients = {}
        for i in (3, 2, 1):
            gradients[f"w{i}"] = paddle.matmul(inputs[i - 1], grad, transpose_x=True)
            gradients[f"b{i}"] = row_sum(grad).squeeze(1)
            if i > 1:
                positive = (inputs[i - 1] > 0).astype(grad.dtype)
                grad = paddle.matmul(grad, weights[f"w{i}"], transpose_y=True) * positive
        return gradients


class Block(NamedTuple):
    """What a convolution block computed, kept for its gradient. K is 9 times the input channels."""

    windows: Tensor  # [T, P, K]
    kernel: Tensor  # [T, K, C]
    xhat: Tensor  # [T, P, C]
    inverse_std: Tensor  # [T, 1, C]
    activation: Tensor  # [T, P, C]
    positive: Tensor  # [T, P, C]


class OmniglotNet(nn.Layer):
    """The classifier of the paper's section 5.2: four blocks of 3x3 stride-2 convolution, BN, ReLU; then linear.

    Follows official maml.py and utils.py: 'SAME' padding, BN by batch statistics always and without scale, whose
    shift ``beta`` is meta-learned but never adapted, spatial mean, and a final layer drawn from N(0, 1).

    Parameters: ``conv1`` [3, 3, 1, 64], ``b1`` [64], ``beta1`` [64], ..., ``w5`` [64, N], ``b5`` [N]
    (the official names and layouts).
    """

    def __init__(self, ways: int = 5, filters: int = 64):
        super().__init__()
        self.filters = filters
        zero = nn.initializer.Constant(0.0)
        channels = 1
        for i in range(1, CONV_LAYERS + 1):
            bound = math.sqrt(6.0 / (9 * channels + 9 * filters))
            xavier = nn.initializer.Uniform(-bound, bound)
            self.add_parameter(
                f"conv{i}", self.create_parameter([3, 3, channels, filters], default_initializer=xavier)
            )
            self.add_parameter(f"b{i}", self.create_parameter([filters], default_initializer=zero))
            self.add_parameter(f"beta{i}", self.create_parameter([filters], default_initializer=zero))
            channels = filters
        normal = nn.initializer.Normal(0.0, 1.0)
        self.add_parameter("w5", self.create_parameter([filters, ways], default_initializer=normal))
        self.add_parameter("b5", self.create_parameter([ways], default_initializer=zero))

    def adapted_parameters(self) -> Weights:
        """The meta-parameters that inner steps change, by name: all but the BN shifts."""
        return {name: p for name, p in self.named_parameters() if not name.startswith("beta")}

    def predict(self, weights: Weights, x_TBHW: Tensor) -> Tensor:
        """Logits [T, B, N] of images [T, B, 28, 28] with the tasks' own weights (conv1 [T, 3, 3, 1, 64], ...)."""
        return self._logits(weights, self._blocks(weights, x_TBHW)[-1].activation, x_TBHW.shape[1])[0]

    def _blocks(self, weights: Weights, x_TBHW: Tensor) -> list[Block]:
        tasks, examples, side, _ = x_TBHW.shape
        x = x_TBHW.reshape([tasks, -1, 1])
        blocks = []
        for i in range(1, CONV_LAYERS + 1):
            windows = im2col(x, tasks * examples, side)
            kernel = weights[f"conv{i}"].reshape([tasks, -1, self.filters])
            xhat, inverse_std = normalize(paddle.matmul(windows, kernel), weights[f"b{i}"])
            beta = repeat_tasks(getattr(self, f"beta{i}"), tasks).unsqueeze(1)
            x, positive = shift_relu(xhat, beta)
            blocks.append(Block(windows, kernel, xhat, inverse_std, x, positive))
            side = (side + 1) // 2
        return blocks

    def _logits(self, weights: Weights, x_TPC: Tensor, examples: int) -> tuple[Tensor, Tensor]:
        tasks, rows, channels = x_TPC.shape
        pooled = x_TPC.reshape([tasks, examples, rows // examples, channels]).mean(2)
        bias = repeat_rows(weights["b5"].unsqueeze(1), examples)
        return paddle.matmul(pooled, weights["w5"]) + bias, pooled

    def gradient(self, weights: Weights, x_TBHW: Tensor, y_TBN: Tensor) -> Weights:
        """Gradient of each task's inner loss by its own weights, all but the BN shifts.

        The inner loss is the cross entropy *summed* over the task's N K examples and divided by K: the official
        ``xent`` divides a vector by K and ``tf.gradients`` sums it.

        Args:
            weights: the tasks' own weights.
            x_TBHW: support images [T, N K, 28, 28].
            y_TBN: one-hot support labels [T, N K, N].
        """
        tasks, examples, ways = y_TBN.shape
        blocks = self._blocks(weights, x_TBHW)
        logits, pooled = self._logits(weights, blocks[-1].activation, examples)
        grad_logits = (nn.functional.softmax(logits) - y_TBN) * (ways / examples)
        gradients = {
            "w5": paddle.matmul(pooled, grad_logits, transpose_x=True),
            "b5": row_sum(grad_logits).squeeze(1),
        }
        grad_pooled = paddle.matmul(grad_logits, weights["w5"], transpose_y=True)
        rows = blocks[-1].activation.shape[1]
        positions = rows // examples
        grad = (grad_pooled / positions).reshape([tasks * examples, 1, self.filters])
        grad = repeat_rows(grad, positions).reshape([tasks, rows, self.filters])
        sides = [IMAGE_SIDE]
        while len(sides) < CONV_LAYERS:
            sides.append((sides[-1] + 1) // 2)
        for i in range(CONV_LAYERS, 0, -1):
            block = blocks[i - 1]
            grad_z = normalize_gradient(grad, block.positive, block.xhat, block.inverse_std)
            kernel_gradient = paddle.matmul(block.windows, grad_z, transpose_x=True)
            gradients[f"conv{i}"] = kernel_gradient.reshape(weights[f"conv{i}"].shape)
            gradients[f"b{i}"] = row_sum(grad_z).squeeze(1)
            if i > 1:
                grad_windows = paddle.matmul(grad_z, block.kernel, transpose_y=True)
                grad = col2im(grad_windows, tasks * examples, sides[i - 1])
        return gradients


def one_hot(labels: np.ndarray, ways: int) -> np.ndarray:
    """Labels [...] as float32 one-hot vectors [..., N]."""
    return np.eye(ways, dtype=np.float32)[labels]
