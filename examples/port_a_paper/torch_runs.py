"""Trains the reference in PyTorch with ten seeds and records its figures in torch_runs.json.

python torch_runs.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from torch_recipe import recipe

from fuxian.recipe import update_metric

ITERATIONS = 300
SEEDS = range(10)


def train(seed: int) -> float:
    """The test accuracy after the last iteration."""
    torch.manual_seed(seed)
    parts = recipe(seed=seed, iterations=ITERATIONS)
    model = parts.model()
    optimizer, schedule = parts.optimizer(model)
    for batch in parts.train_data():
        outputs = model(torch.from_numpy(batch["inputs"][0]))
        optimizer.zero_grad()
        parts.loss(outputs, (torch.from_numpy(batch["targets"][0]),)).backward()
        optimizer.step()
        schedule.step()
    model.eval()
    metric = parts.metric()
    with torch.no_grad():
        for batch in parts.eval_data():
            update_metric(metric, model(torch.from_numpy(batch["inputs"][0])).numpy(), batch)
    return metric.figures()["accuracy"]


def main() -> None:
    recorded = {
        "repo": "https://example.org/texture-net",
        "commit": "none: the code is torch_recipe.py beside this file",
        "command": "python torch_runs.py",
        "metric": "accuracy",
        "values": [{"seed": seed, "value": train(seed)} for seed in SEEDS],
    }
    Path(__file__).with_name("torch_runs.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
