"""What `fuxian align` costs on ResNet-50: time and peak memory beside the two frameworks' own passes.

Forward and backward at 224 pixels, batch 2, float32. Goals: 2.5 times the passes' time without the oracle, 4 times
with it, and 1.5 times their peak memory. Each figure comes from a process of its own.

    python benchmarks/align_overhead.py [--json] [--size 224] [--batch 2]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

GOALS = {"align": 2.5, "align with oracle": 4.0}


def recipes(size: int, batch: int):
    """The catalogue's ResNet-50 pair, fed one random batch."""
    from dataclasses import replace

    from port_bugs.architectures import resnet50

    random = np.random.default_rng(0)
    images = random.standard_normal((batch, 3, size, size)).astype("float32")
    batches = [{"inputs": (images,), "targets": (random.integers(0, 10, batch),)}]
    changes = {"eval_data": lambda: batches, "train_data": None}
    return replace(resnet50.port(), **changes), replace(resnet50.reference(), **changes)


def alone(size: int, batch: int) -> float:
    """Seconds that both frameworks take for forward and backward, models built beforehand."""
    from fuxian.recipe import framework_of, to_tensors

    seconds = 0.0
    for recipe in recipes(size, batch):
        model = recipe.model()
        model.eval()
        tensors = to_tensors(framework_of(model), recipe.eval_data()[0])
        start = time.perf_counter()
        recipe.loss(recipe.forward(model, tensors["inputs"]), tensors["targets"]).backward()
        seconds += time.perf_counter() - start
    return seconds


def aligned(size: int, batch: int, oracle: bool) -> float:
    """Seconds of the whole comparison, models' construction included."""
    from fuxian.align.alignment import align

    port, reference = recipes(size, batch)
    start = time.perf_counter()
    found = align(port, reference, stages=("forward", "backward"), dtype="float32", oracle=oracle)
    seconds = time.perf_counter() - start
    assert found.stage("forward").verdict != "diverged", found.stage("forward").worst
    return seconds


KINDS = {
    "passes alone": alone,
    "align": lambda size, batch: aligned(size, batch, False),
    "align with oracle": lambda size, batch: aligned(size, batch, True),
}


def measured(kind: str, size: int, batch: int) -> dict[str, float]:
    """One kind in a process of its own: seconds, peak memory in GiB."""
    command = [sys.executable, __file__, "--one", kind, "--size", str(size), "--batch", str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=KINDS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=2)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    if options.one:
        seconds = KINDS[options.one](options.size, options.batch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "peak_gib": peak}))
        return
    rows = [{"name": kind, **measured(kind, options.size, options.batch)} for kind in KINDS]
    for row in rows:
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
        row["memory_ratio"] = row["peak_gib"] / rows[0]["peak_gib"]
        row["goal"] = GOALS.get(row["name"])
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        goal = f" (goal {row['goal']})" if row["goal"] else ""
        print(f"{row['name']:20} {row['seconds']:7.1f} s  {row['ratio']:5.2f}x{goal}  {row['peak_gib']:.2f} GiB"
              f"  {row['memory_ratio']:.2f}x")  # fmt: skip


if __name__ == "__main__":
    main()
