"""Trains the PyTorch reference on BCCD and records the figures of each seed, before the port is trained.

    python -m fuxian.papers.sparse_rcnn.reference.bccd_runs --iterations 800 --seeds 0 1 --out bccd.json

A run's state lies beside the record, so that the command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from fuxian.papers.sparse_rcnn.recipe import metric
from fuxian.papers.sparse_rcnn.reference.recipe import recipe
from fuxian.recipe import to_arrays, to_tensors

SAVE_EVERY = 50


def run(seed: int, iterations: int, split: str, state_file: Path) -> dict[str, Any]:
    """The figures of one training, those of the last stage and the AP of each."""
    parts: Any = recipe(seed=seed, iterations=iterations, eval_split=split)  # type: ignore[arg-type]
    torch.manual_seed(seed)
    model = parts.model()
    optimizer, schedule = parts.optimizer(model)
    start = 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        for part, name in ((model, "model"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        start = state["step"]
    batches = parts.train_data()
    model.train()
    began = time.process_time()
    total = 0.0
    for step in range(start, iterations):
        batch = batches[step]
        losses = parts.loss(
            parts.forward(model, to_tensors("torch", batch["inputs"])), to_tensors("torch", batch["targets"])
        )
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += float(losses["total"].detach())
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == iterations:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "schedule": schedule.state_dict(), "step": step + 1}, state_file)
            pace = (time.process_time() - began) / (step + 1 - start)
            print(
                f"seed {seed}, step {step + 1}: mean loss {total / SAVE_EVERY:.3f}, {pace:.2f} s a step",
                file=sys.stderr,
                flush=True,
            )
            total = 0.0
    model.eval()
    stages = len(model.head.head_series)
    metrics = [metric(stage) for stage in range(stages)]
    with torch.no_grad():
        for batch in parts.eval_data():
            outputs = to_arrays(parts.forward(model, to_tensors("torch", batch["inputs"])))
            for one in metrics:
                one.update(outputs, batch["targets"])
    figures = metrics[-1].figures()
    by_stage = [one.units()["ap"].figure() for one in metrics]
    return {"seed": seed, "value": figures["ap"], "figures": figures, "ap_by_stage": by_stage}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    values: list[dict[str, Any]] = []
    for seed in asked.seeds:
        values.append(run(seed, asked.iterations, asked.split, asked.out.with_suffix(f".seed{seed}.pt")))
        document = {
            "repo": "https://github.com/PeizeSun/SparseR-CNN, re-implemented in PyTorch (torch_sparse_rcnn.py)",
            "commit": "0e5028da8edd4d0ab2a31b85e511a7af196529d2",
            "command": "python -m fuxian.papers.sparse_rcnn.reference.bccd_runs "
            + f"--iterations {asked.iterations} --seeds {' '.join(map(str, asked.seeds))} --split {asked.split}",
            "torch": torch.__version__,
            "metric": "ap",
            "iterations": asked.iterations,
            "values": values,
        }
        asked.out.write_text(json.dumps(document, indent=1) + "\n")
        print(json.dumps(values[-1]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
