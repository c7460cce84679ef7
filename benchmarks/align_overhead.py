"""What `fuxian align` costs on ResNet-50: time and peak memory beside the two frameworks' own passes, and padiff.

Forward and backward at 224 pixels, batch 2, float32. Goals: 2.5 times the passes' time without the oracle, 4 times
with it, and 1.5 times their peak memory. Each figure is the median over rounds in which every kind runs once, in a
process of its own; all of them run with the allocator and MKL settings that the `fuxian` command makes. The passes
alone are timed with the models built beforehand; align builds, compares and writes. What it cannot do without is
shown apart: building the two models, and the reference's pass in float64, which is the oracle. padiff 0.2.0 is asked
for the same passes at its defaults.

    python benchmarks/align_overhead.py [--peers] [--json] [--rounds 3] [--size 224] [--batch 2]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fuxian.training.machine import prepare
from port_bugs.peers import installed

WIDTH = 64
"""Channels after the first convolution, as in the paper; the catalogue's is narrower."""
GOALS = {"align": 2.5, "align with oracle": 4.0}


def recipes(size: int, batch: int):
    """The catalogue's ResNet-50 pair at its full width, fed one random batch."""
    from dataclasses import replace

    from port_bugs.architectures import resnet50

    random = np.random.default_rng(0)
    images = random.standard_normal((batch, 3, size, size)).astype("float32")
    batches = [{"inputs": (images,), "targets": (random.integers(0, 10, batch),)}]
    changes = {"eval_data": lambda: batches, "train_data": None}
    return (
        replace(resnet50.port(base=WIDTH), **changes),
        replace(resnet50.reference(), model=lambda: resnet50.TorchResNet(WIDTH), **changes),
    )


def passed(recipe, double: bool = False) -> float:
    """Seconds of one recipe's forward and backward, its model built beforehand."""
    from fuxian.recipe import framework_of, to_tensors

    model = recipe.model()
    model.eval()
    images, labels = (recipe.eval_data()[0][part][0] for part in ("inputs", "targets"))
    if double:
        model.double()
        images = images.astype("float64")
    tensors = to_tensors(framework_of(model), {"inputs": (images,), "targets": (labels,)})
    start = time.perf_counter()
    recipe.loss(recipe.forward(model, tensors["inputs"]), tensors["targets"]).backward()
    return time.perf_counter() - start


def built(size: int, batch: int) -> float:
    """Seconds of building the two models, which align does and the passes alone leave out."""
    start = time.perf_counter()
    for recipe in recipes(size, batch):
        recipe.model()
    return time.perf_counter() - start


def aligned(size: int, batch: int, oracle: bool) -> float:
    """Seconds of the whole comparison, models' construction included."""
    from fuxian.align.alignment import align

    port, reference = recipes(size, batch)
    start = time.perf_counter()
    found = align(port, reference, stages=("forward", "backward"), dtype="float32", oracle=oracle)
    seconds = time.perf_counter() - start
    assert found.stage("forward").verdict != "diverged", found.stage("forward").worst
    return seconds


def padiff(size: int, batch: int) -> float:
    """Seconds of padiff's comparison of the two models, which it is given built."""
    import paddle
    import torch
    from padiff import auto_diff

    port, reference = recipes(size, batch)
    images = port.eval_data()[0]["inputs"][0]
    models = port.model(), reference.model()
    for model in models:
        model.eval()
    inputs = {"x": paddle.to_tensor(images)}, {"x": torch.from_numpy(images)}
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        auto_diff(*models, inputs, auto_weights=True)
    return time.perf_counter() - start


KINDS = {
    "passes alone": lambda size, batch: sum(passed(recipe) for recipe in recipes(size, batch)),
    "models built": built,
    "reference in float64": lambda size, batch: passed(recipes(size, batch)[1], double=True),
    "align": lambda size, batch: aligned(size, batch, False),
    "align with oracle": lambda size, batch: aligned(size, batch, True),
    "padiff": padiff,
}


def one(kind: str, size: int, batch: int) -> None:
    """Run one kind here and print its seconds and peak memory in GiB."""
    prepare()
    if (
        kind == "padiff"
    ):  # It patches both frameworks while they are imported, and logs below the current folder.
        os.chdir(tempfile.mkdtemp())
        import padiff as _  # noqa: F401
    import paddle  # noqa: F401
    import torch  # noqa: F401

    seconds = KINDS[kind](size, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gib": peak}))


def measured(kind: str, size: int, batch: int) -> dict[str, float]:
    """One kind in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", kind]
    command += ["--size", str(size), "--batch", str(batch)]
    environment = os.environ | ({"PYTHONPATH": str(installed())} if kind == "padiff" else {})
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{kind} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peers", action="store_true", help="padiff too")
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=2)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.size, options.batch)
        return
    kinds = [kind for kind in KINDS if kind != "padiff" or options.peers]
    rounds = [
        {kind: measured(kind, options.size, options.batch) for kind in kinds} for _ in range(options.rounds)
    ]
    rows = []
    for kind in kinds:
        figures = {
            key: statistics.median(each[kind][key] for each in rounds) for key in ("seconds", "peak_gib")
        }
        ratios = {
            name: statistics.median(each[kind][key] / each["passes alone"][key] for each in rounds)
            for name, key in (("ratio", "seconds"), ("memory_ratio", "peak_gib"))
        }
        rows.append({"name": kind, **figures, **ratios, "goal": GOALS.get(kind)})
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        goal = f"(goal {row['goal']})" if row["goal"] else ""
        print(f"{row['name']:20} {row['seconds']:6.1f} s  {row['ratio']:5.2f}x {goal:11} {row['peak_gib']:.2f} GiB"
              f"  {row['memory_ratio']:.2f}x")  # fmt: skip


if __name__ == "__main__":
    main()
