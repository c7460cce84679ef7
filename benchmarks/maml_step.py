"""One meta-step of MAML in Paddle against the same step in PyTorch: python benchmarks/maml_step.py [--json].

A meta-step is the inner loop of every task, the outer loss, the second-order meta-gradient and Adam. PyTorch takes
it in two ways, task by task with autograd and with ``torch.func.vmap`` over the tasks; ``ratio`` is Paddle's time
over the faster one's. The three take turns in one process, so that a busy machine slows them alike, and a row is the
median over the rounds. Before anything is timed, in float32, their meta-gradients are compared in float64: in float32
rounding moves a ReLU's kink, and the gradient with it, differently on every processor.

Both frameworks may use two threads. Paddle's matrix products take them on Omniglot and one on the sinusoid, whose
products are too small to share.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
import paddle
import torch
from torch.func import functional_call, grad, vmap

from fuxian.papers.maml.recipe import recipe
from fuxian.papers.maml.reference import torch_maml
from fuxian.papers.maml.settings import SETTINGS, Setting
from fuxian.recipe import Recipe, to_tensors

TORCH_THREADS = 2
PADDLE_THREADS = {"omniglot-5way-1shot": 2, "sinusoid-10shot": 1}
_MKL = ctypes.CDLL(str(Path(paddle.__file__).parent / "libs" / "libmklml_intel.so"))
Step = Callable[[], None]
TOLERANCE = 1e-9
"""Largest L2 distance of a parameter's meta-gradient from the other side's, as a share of the whole gradient's."""


@dataclass(frozen=True)
class Row:
    """Medians in milliseconds; ``ratio`` is the median of the rounds' paddle / faster torch."""

    name: str
    paddle_ms: float
    torch_loop_ms: float
    torch_vmap_ms: float
    ratio: float
    rounds: int


class _OuterLoss(torch.nn.Module):
    """One task's outer loss as a module call, so that ``functional_call`` can swap in a task's parameters."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net

    def forward(self, weights: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.net.inner_loss(self.net.predict(weights, x), y)


def batch_of(setting: Setting, rng: np.random.Generator, dtype: str) -> tuple[np.ndarray, ...]:
    """Support inputs and targets, query inputs and targets; what the numbers are costs no time."""
    if setting.ways == 0:
        x = rng.uniform(-5, 5, (2, setting.tasks, setting.shots, 1)).astype(dtype)
        y = np.sin(x)
    else:
        shape = (2, setting.tasks, setting.ways * setting.shots, 28, 28)
        x = rng.random(shape).astype(dtype)
        y = np.tile(np.eye(setting.ways, dtype=dtype), (2, setting.tasks, setting.shots, 1))
    return x[0], y[0], x[1], y[1]


def paddle_side(parts: Recipe, arrays: tuple[np.ndarray, ...]) -> tuple[paddle.nn.Layer, Step, Step]:
    """The model, its backward pass, and Adam's update: the recipe's own parts."""
    model = parts.model()
    optimizer, _ = parts.optimizer(model)
    support_x, support_y, query_x, query_y = to_tensors("paddle", arrays)

    def backward() -> None:
        parts.loss(parts.forward(model, (support_x, support_y, query_x)), (query_y,)).backward()

    def update() -> None:
        optimizer.step()
        optimizer.clear_grad()

    return model, backward, update


def torch_side(setting: Setting, arrays: tuple[np.ndarray, ...]) -> tuple[torch.nn.Module, Step, Step, Step]:
    """The model, its backward pass by a loop and by vmap, and Adam's update."""
    net = torch_maml.SinusoidNet() if setting.ways == 0 else torch_maml.OmniglotNet(setting.ways)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    support_x, support_y, query_x, query_y = map(torch.from_numpy, arrays)

    def loop() -> None:
        losses = []
        for x, y, new_x, new_y in zip(support_x, support_y, query_x, query_y, strict=True):
            weights = torch_maml.adapt(net, (x, y), steps=setting.train_steps, step_size=setting.step_size)[
                -1
            ]
            losses.append(net.inner_loss(net.predict(weights, new_x), new_y))
        torch.stack(losses).mean().backward()

    outer = _OuterLoss(net)
    adapted = list(net.adapted_parameters())

    def task_loss(parameters: dict, x, y, new_x, new_y) -> torch.Tensor:
        def loss(weights: dict, inputs, targets) -> torch.Tensor:
            return functional_call(
                outer, {f"net.{n}": p for n, p in parameters.items()}, (weights, inputs, targets)
            )

        weights = {name: parameters[name] for name in adapted}
        for _ in range(setting.train_steps):
            gradients = grad(loss)(weights, x, y)
            weights = {name: w - setting.step_size * gradients[name] for name, w in weights.items()}
        return loss(weights, new_x, new_y)

    over_tasks = vmap(task_loss, in_dims=(None, 0, 0, 0, 0))

    def mapped() -> None:
        over_tasks(dict(net.named_parameters()), support_x, support_y, query_x, query_y).mean().backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return net, loop, mapped, update


def check_gradients(
    name: str, ours: paddle.nn.Layer, theirs: torch.nn.Module, steps: dict[str, Step]
) -> None:
    """Raises AssertionError where the three meta-gradients differ by more than rounding."""
    with torch.no_grad():
        for key, parameter in theirs.named_parameters():
            parameter.copy_(torch.tensor(getattr(ours, key).numpy()))
    steps["paddle"]()
    mine = {key: p.grad.numpy() for key, p in ours.named_parameters()}
    scale = np.sqrt(sum(np.square(g).sum() for g in mine.values()))
    assert scale > 0
    ours.clear_gradients()
    for side in ("torch_loop", "torch_vmap"):
        theirs.zero_grad()
        steps[side]()
        for key, parameter in theirs.named_parameters():
            apart = np.linalg.norm(mine[key] - parameter.grad.numpy()) / scale
            assert apart < TOLERANCE, f"{name}: {side}'s gradient by {key} is {apart:.1e} off"
    theirs.zero_grad()


def sides_of(
    claim: str, dtype: str
) -> tuple[paddle.nn.Layer, torch.nn.Module, dict[str, Step], dict[str, Step]]:
    """Both models, and each side's backward pass and update."""
    paddle.seed(0)
    paddle.set_default_dtype(dtype)
    torch.set_default_dtype(getattr(torch, dtype))
    setting = SETTINGS[claim]
    arrays = batch_of(setting, np.random.default_rng(0), dtype)
    ours, backward, update = paddle_side(recipe(claim), arrays)
    theirs, loop, mapped, torch_update = torch_side(setting, arrays)
    backwards = {"paddle": backward, "torch_loop": loop, "torch_vmap": mapped}
    updates = {"paddle": update, "torch_loop": torch_update, "torch_vmap": torch_update}
    return ours, theirs, backwards, updates


def measure(claim: str, seconds: float) -> Row:
    """Lets the three sides take turns for about ``seconds``."""
    ours, theirs, backwards, _ = sides_of(claim, "float64")
    check_gradients(claim, ours, theirs, backwards)
    _, _, backwards, updates = sides_of(claim, "float32")

    _MKL.MKL_Set_Num_Threads(PADDLE_THREADS[claim])

    def timed(side: str) -> float:
        began = time.perf_counter()
        backwards[side]()
        updates[side]()
        return time.perf_counter() - began

    sides = list(backwards)
    for side in sides:
        timed(side)
    rounds = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(rounds) < 5:
        # Each side follows each other equally often: what one leaves in the caches is nobody's advantage.
        sides = [*sides[1:], sides[0]] if len(rounds) % 2 else sides[::-1]
        costs = {side: timed(side) for side in sides}
        rounds.append([costs[side] for side in backwards])
    times = np.array(rounds) * 1e3
    medians = np.median(times, axis=0)
    faster = 1 + int(np.argmin(medians[1:]))
    ratio = float(np.median(times[:, 0] / times[:, faster]))
    return Row(claim, *map(float, medians), ratio, len(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="a list of rows instead of a table")
    parser.add_argument("--seconds", type=float, default=10.0, help="spent on each experiment")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="There is a performance drop")
    torch.set_num_threads(TORCH_THREADS)
    rows = [measure(claim, options.seconds) for claim in ("omniglot-5way-1shot", "sinusoid-10shot")]
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{'meta-step':24}{'paddle':>10}{'loop':>10}{'vmap':>10}{'ratio':>8}")
    for row in rows:
        print(
            f"{row.name:24}{row.paddle_ms:8.2f}ms{row.torch_loop_ms:8.2f}ms{row.torch_vmap_ms:8.2f}ms{row.ratio:8.2f}"
        )


if __name__ == "__main__":
    main()
