"""Trains the PyTorch reference on LFW and records the accuracy of each seed.

python -m fuxian.papers.arcface.reference.lfw_runs --iterations 320 --seeds 0 1 2 3 4 5 --out lfw-folds.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fuxian.papers.arcface.reference.recipe import recipe
from fuxian.recipe import to_arrays, to_tensors


def run(seed: int, iterations: int, loss: str, split: str) -> dict[str, Any]:
    """The figures of one training."""
    parts = recipe(seed=seed, iterations=iterations, loss=loss, eval_split=split)  # type: ignore[arg-type]
    assert parts.optimizer and parts.train_data and parts.eval_data and parts.loss and parts.metric  # noqa: S101
    torch.manual_seed(seed)
    model = parts.model()
    optimizers = parts.optimizer(model)
    began = time.process_time()
    for step, batch in enumerate(parts.train_data(), 1):
        losses = parts.loss(
            parts.forward(model, to_tensors("torch", batch["inputs"])), to_tensors("torch", batch["targets"])
        )
        losses["total"].backward()
        for sgd, schedule in optimizers.values():
            sgd.step()
            sgd.zero_grad()
            schedule.step()
        if step % 20 == 0 or step == iterations:
            spent = time.process_time() - began
            print(
                f"seed {seed}, step {step}: loss {float(losses['total']):.3f}, {spent:.0f} s", file=sys.stderr
            )
    model.eval()
    metric = parts.metric()
    for batch in parts.eval_data():
        metric.update(to_arrays(parts.forward(model, to_tensors("torch", batch["inputs"]))), batch["targets"])
    figures = metric.figures()
    return {"seed": seed, "value": figures["accuracy"], "figures": figures, "loss": float(losses["total"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--loss", choices=["arcface", "softmax"], default="arcface")
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    values: list[dict[str, Any]] = []
    for seed in asked.seeds:
        values.append(run(seed, asked.iterations, asked.loss, asked.split))
        document = {
            "repo": "https://github.com/deepinsight/insightface, re-implemented in PyTorch (torch_arcface.py)",
            "commit": "7fadd420c2351d0ffa8cac403421c1a3ed733365",
            "command": "python -m fuxian.papers.arcface.reference.lfw_runs " + " ".join(sys.argv[1:]),
            "torch": torch.__version__,
            "metric": "accuracy",
            "iterations": asked.iterations,
            "values": values,
        }
        asked.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
