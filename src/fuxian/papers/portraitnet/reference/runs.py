"""Trains the PyTorch reference on the scaled setting and records what each seed reaches.

python -m fuxian.papers.portraitnet.reference.runs --iterations 320 --seeds 0 1 --out portraits.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fuxian.papers.portraitnet.reference.recipe import recipe
from fuxian.recipe import to_arrays, to_tensors


def run(seed: int, iterations: int, split: str) -> dict[str, Any]:
    """The figures of one training."""
    parts = recipe(seed=seed, iterations=iterations, eval_split=split)  # type: ignore[arg-type]
    assert parts.optimizer and parts.train_data and parts.eval_data and parts.loss and parts.metric  # noqa: S101
    torch.manual_seed(seed)
    model = parts.model().train()
    optimizer, schedule = parts.optimizer(model)
    began = time.process_time()
    for step, batch in enumerate(parts.train_data(), 1):
        inputs, targets = (to_tensors("torch", batch[part]) for part in ("inputs", "targets"))
        losses = parts.loss(parts.forward(model, inputs), targets)
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 20 == 0 or step == iterations:
            spent = time.process_time() - began
            parts_of = ", ".join(f"{name} {float(value.detach()):.3f}" for name, value in losses.items())
            print(f"seed {seed}, step {step}: {parts_of}; {spent:.0f} s", file=sys.stderr, flush=True)
    model.eval()
    metric = parts.metric()
    for batch in parts.eval_data():
        metric.update(to_arrays(parts.forward(model, to_tensors("torch", batch["inputs"]))), batch["targets"])
    figures = metric.figures()
    of_pictures = {name: units.arrays["value"].round(6).tolist() for name, units in metric.units().items()}
    return {"seed": seed, "value": figures["iou"], "figures": figures, "of_pictures": of_pictures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    values = json.loads(asked.out.read_text())["values"] if asked.out.is_file() else []
    for seed in asked.seeds:
        if any(one["seed"] == seed for one in values):
            continue
        values.append(run(seed, asked.iterations, asked.split))
        document = {
            "repo": "https://github.com/dong-x16/PortraitNet, re-implemented in PyTorch (torch_portraitnet.py)",
            "commit": "e08ccdb9d3ad50f24233bb710eb7c5efc043bcf9",
            "command": "python -m fuxian.papers.portraitnet.reference.runs " + " ".join(sys.argv[1:]),
            "torch": torch.__version__,
            "metric": "iou",
            "split": asked.split,
            "iterations": asked.iterations,
            "values": values,
        }
        asked.out.write_text(json.dumps(document) + "\n")
        print(json.dumps(values[-1]["figures"]), flush=True)


if __name__ == "__main__":
    main()
