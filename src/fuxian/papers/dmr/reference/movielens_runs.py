"""Trains the PyTorch reference on MovieLens and records the area under the curve of each seed.

python -m fuxian.papers.dmr.reference.movielens_runs --iterations 800 --seeds 100 101 102 103 104 105 106 107 \
    --out movielens.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fuxian.papers.dmr.reference.recipe import recipe
from fuxian.recipe import Recipe, to_arrays, to_tensors
from fuxian.training.step import Trainer

FIRST_SEED = 100
"""The reference's own, so that no order of the examples is one of the port's."""


def figure(parts: Recipe, model: torch.nn.Module) -> float:
    """The area under the curve of the recipe's evaluation data."""
    assert parts.eval_data and parts.metric  # noqa: S101
    model.eval()
    metric = parts.metric()
    with torch.no_grad():
        for batch in parts.eval_data():
            outputs = parts.forward(model, to_tensors("torch", batch["inputs"]))
            metric.update(to_arrays(outputs), batch["targets"])
    return metric.figures()["auc"]


def run(seed: int, iterations: int, split: str, every: int) -> dict[str, Any]:
    """The figure of one training; with ``every`` it is printed along the way."""
    parts = recipe(seed=seed, iterations=iterations, eval_split=split)
    assert parts.train_data  # noqa: S101
    torch.manual_seed(seed)
    model = parts.model()
    trainer = Trainer(parts, model)
    losses: list[dict[str, Any]] = []
    began = time.process_time()
    for step, batch in enumerate(parts.train_data(), 1):
        model.train()
        losses.append(trainer.step(batch))
        if step % 100 == 0:
            spent = time.process_time() - began
            means = {name: sum(float(one[name]) for one in losses[-100:]) / 100 for name in losses[0]}
            said = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"seed {seed}, step {step}: {said}, {spent:.0f} s", file=sys.stderr)
        if every and step % every == 0:
            print(f"seed {seed}, step {step}: {split} auc {figure(parts, model):.4f}", file=sys.stderr)
    return {"seed": seed, "value": figure(parts, model)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[FIRST_SEED])
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--every", type=int, default=0, help="evaluate every so many steps as well")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    values: list[dict[str, Any]] = []
    for seed in asked.seeds:
        values.append(run(seed, asked.iterations, asked.split, asked.every))
        document = {
            "repo": "https://github.com/lvze92/DMR, re-implemented in PyTorch (torch_dmr.py)",
            "commit": "2c6e76804281954a3c969010a31712cd5054aca9",
            "command": "python -m fuxian.papers.dmr.reference.movielens_runs " + " ".join(sys.argv[1:]),
            "torch": torch.__version__,
            "metric": "auc",
            "split": asked.split,
            "iterations": asked.iterations,
            "values": values,
        }
        asked.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
