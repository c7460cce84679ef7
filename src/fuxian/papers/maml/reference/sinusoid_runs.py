"""Trains the PyTorch reference on the sinusoid and records its figures: the sample that the port is tested against.

    python -m fuxian.papers.maml.reference.sinusoid_runs --seeds 10 --iterations 70000 --out sinusoid-10shot.json

The paper prints no sinusoid figure in a table (its figure 3 is a plot), so the target of ``maml/sinusoid-10shot`` is
this sample: the error after one inner step, which is what training minimises. Errors after further steps are recorded
too; they are no target, because gradient descent at this step size diverges on some task for some seeds.

Settings: K = 10, 25 tasks a meta-batch, one inner step of 0.01, Adam 0.001, 70,000 iterations; figures on the 600 test
tasks that the port is evaluated on. Seeds count from 1000, so that no run shares its tasks with one of the port's.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

from fuxian.papers.maml.data import SinusoidTasks
from fuxian.papers.maml.reference.torch_maml import SinusoidNet, adapt

FIRST_SEED = 1000
STEP_SIZE = 0.01
TEST_STEPS = 10
TEST_SEED = 1_000_000


def train(seed: int, iterations: int) -> SinusoidNet:
    """One run of section 5.1's experiment. The tasks of a meta-batch run together, each with weights of its own."""
    torch.manual_seed(seed)
    net = SinusoidNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    tasks = SinusoidTasks(iterations, seed=seed)
    for iteration in range(iterations):
        batch = tasks[iteration]
        support_x, support_y, query_x, query_y = map(torch.from_numpy, (*batch["inputs"], *batch["targets"]))
        count = len(support_x)
        weights = {
            name: (p if p.ndim == 2 else p.unsqueeze(0)).expand(count, -1, -1)
            for name, p in net.named_parameters()
        }
        # The inner loss of a task is a mean over its points; summed over tasks, each keeps its own gradient.
        inner = net.inner_loss(net.predict(weights, support_x), support_y) * count
        gradients = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
        adapted = {name: w - STEP_SIZE * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
        optimizer.zero_grad()
        net.inner_loss(net.predict(adapted, query_x), query_y).backward()
        optimizer.step()
    return net


def curve(net: SinusoidNet) -> list[float]:
    """Mean squared error over the 600 test tasks before adapting and after each of 10 steps."""
    errors = []
    for batch in SinusoidTasks(24, seed=TEST_SEED):
        for x, y, query_x, query_y in zip(*batch["inputs"], *batch["targets"], strict=True):
            support = torch.from_numpy(x), torch.from_numpy(y)
            trajectory = adapt(net, support, steps=TEST_STEPS, step_size=STEP_SIZE, second_order=False)
            with torch.no_grad():
                predictions = [net.predict(w, torch.from_numpy(query_x)).numpy() for w in trajectory]
            errors.append([float(np.square(p.astype(np.float64) - query_y).mean()) for p in predictions])
    return np.mean(errors, axis=0).tolist()


def recorded(file: Path, iterations: int) -> list[dict]:
    """The runs that an earlier call has recorded: the next seeds go on from there."""
    if not file.exists():
        return []
    earlier = json.loads(file.read_text())
    if earlier["iterations"] != iterations:
        sys.exit(f"{file} records runs of {earlier['iterations']} iterations; give another --out.")
    return earlier["values"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=70_000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    values = recorded(options.out, options.iterations)
    for seed in range(FIRST_SEED + len(values), FIRST_SEED + options.seeds):
        began = time.perf_counter()
        errors = curve(train(seed, options.iterations))
        finite = [error if math.isfinite(error) else None for error in errors]
        values.append({"seed": seed, "value": errors[1], "curve": finite})
        print(
            f"seed {seed}: {errors[1]:.4f} in {time.perf_counter() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        record = {
            "repo": "cbfinn/maml, re-implemented in PyTorch (torch_maml.py)",
            "commit": "a7f45f1bcd7457fe97b227a21e89b8a82cc5fa49",
            "command": "python -m fuxian.papers.maml.reference.sinusoid_runs"
            f" --seeds {options.seeds} --iterations {options.iterations} --out {options.out.name}",
            "torch": torch.__version__,
            "metric": "mse_after_1",
            "iterations": options.iterations,
            "values": values,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
