"""MAML's inner loop (Algorithm 2, lines 5 to 7), for all tasks of a meta-batch at once."""

from __future__ import annotations

import paddle
from paddle import Tensor

from fuxian.papers.maml.model import OmniglotNet, SinusoidNet, Weights
from fuxian.papers.maml.ops import repeat_tasks


def adapt(
    net: SinusoidNet | OmniglotNet,
    support: tuple[Tensor, Tensor],
    *,
    steps: int,
    step_size: float,
    second_order: bool = True,
) -> list[Weights]:
    """Gradient descent on the support sets.

    Args:
        net: holds the meta-parameters.
        support: inputs [T, B, ...] and targets [T, B, ...].
        steps: inner steps.
        step_size: the paper's alpha.
        second_order: keep the inner gradients in the graph; False is the paper's first-order approximation.

    Returns:
        The tasks' weights before the first step and after each: ``steps + 1`` dicts of [T, ...] tensors.
    """
    x, y = support
    tasks = x.shape[0]
    weights = {name: repeat_tasks(p, tasks) for name, p in net.adapted_parameters().items()}
    trajectory = [weights]
    for _ in range(steps):
        if second_order:
            gradients = net.gradient(weights, x, y)
        else:
            with paddle.no_grad():
                gradients = net.gradient(weights, x, y)
        weights = {name: w - step_size * gradients[name] for name, w in weights.items()}
        trajectory.append(weights)
    return trajectory
