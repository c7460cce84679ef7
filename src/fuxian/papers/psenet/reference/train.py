"""Trains the PyTorch reference of the scaled run and records its figure, before the port is trained.

    python -m fuxian.papers.psenet.reference.train STATE --iterations 1500

STATE is a folder for the run's state, from which the command goes on when it is run again. Writes
ic15-own-split.json beside this file: precision, recall and hmean with what each test picture contributed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from fuxian.papers.psenet.reference.recipe import recipe

CLAIM = "ic15-own-split"
RECORD = Path(__file__).with_name(f"{CLAIM}.json")
SAVE_EVERY = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    file = options.state / "state.pt"

    parts: Any = recipe(CLAIM, seed=options.seed, iterations=options.iterations)
    torch.manual_seed(options.seed)
    model = parts.model()
    optimizer, schedule = parts.optimizer(model)
    start = 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        start = state["step"]
    batches = parts.train_data()
    model.train()
    began, losses = time.time(), []
    with ThreadPoolExecutor(2) as pool:
        coming = [
            pool.submit(batches.__getitem__, at) for at in range(start, min(start + 4, options.iterations))
        ]
        for at in range(start, options.iterations):
            batch = coming.pop(0).result()
            if at + 4 < options.iterations:
                coming.append(pool.submit(batches.__getitem__, at + 4))
            (pictures,), targets = batch["inputs"], batch["targets"]
            found = parts.loss(model(torch.tensor(pictures)), tuple(map(torch.tensor, targets)))
            found["total"].backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(found["total"].item())
            if (at + 1) % SAVE_EVERY == 0 or at + 1 == options.iterations:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": at + 1,
                }
                torch.save(state, file.with_suffix(".new"))
                file.with_suffix(".new").replace(file)
                pace = (time.time() - began) / (at + 1 - start)
                print(
                    f"step {at + 1}: loss {sum(losses) / len(losses):.4f}, {pace:.2f} s a step",
                    file=sys.stderr,
                    flush=True,
                )
                losses = []
    evaluate(model, parts, options)


def evaluate(model: Any, parts: Any, options: argparse.Namespace) -> None:
    model.eval()
    metric = parts.metric()
    with torch.no_grad():
        for batch in parts.eval_data():
            metric.update(model(torch.tensor(batch["inputs"][0])).numpy(), batch["targets"])
    units = metric.units()
    counts = units["hmean"].arrays
    document = {
        "implementation": "reference/torch_psenet.py, equal to the official code (tests/papers/psenet)",
        "command": f"python -m fuxian.papers.psenet.reference.train STATE --iterations {options.iterations}"
        f" --seed {options.seed}",
        "claim": CLAIM,
        "torch": torch.__version__,
        "iterations": options.iterations,
        "seed": options.seed,
        "figures": metric.figures(),
        "twice_matched": counts["above"][:, 0].astype(int).tolist(),
        "truths_and_detections": counts["below"][:, 0].astype(int).tolist(),
    }
    RECORD.write_text(json.dumps(document) + "\n")
    print(json.dumps(document["figures"]), file=sys.stderr)


if __name__ == "__main__":
    main()
