"""What six stages are for: AP after each of them, and beside a network of one stage.

    python benchmarks/sparse_rcnn_stages.py WEIGHTS [--one-stage WEIGHTS] [--split validation] [--json]
    python benchmarks/sparse_rcnn_stages.py --overfit 800

WEIGHTS are of sparse-rcnn/bccd, trained with `fuxian train sparse-rcnn/bccd`; those of the ablation with
`--set stages=1`. Intervals (95 %) are jackknives over 20 groups of pictures, the same groups for gains.
``--draws N`` prints the AP on N drawn tests of the split in place of the table.
``--overfit STEPS`` trains the small network on four pictures of coco128, in the official form, and prints its
first and last losses, and AP on these four.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from scipy import stats

from fuxian.datasets import coco
from fuxian.datasets.detection import DetectionSet
from fuxian.metrics import Units
from fuxian.papers.sparse_rcnn import data
from fuxian.papers.sparse_rcnn.draw import drawn as drawn_test
from fuxian.papers.sparse_rcnn.loss import loss
from fuxian.papers.sparse_rcnn.model import SparseRCNN
from fuxian.papers.sparse_rcnn.recipe import metric, optimizer, recipe
from fuxian.papers.sparse_rcnn.settings import SETTINGS
from fuxian.training.checkpoints import load_into

GROUPS = 20


def by_stage(weights: Path, stages: int, split: str, seed: int | None = None) -> list[Units]:
    """What each picture contributed to each stage's AP; of the drawn test of a seed, where one is given."""
    parts: Any = recipe("bccd", eval_split=split, stages=stages)  # type: ignore[arg-type]
    model = parts.model()
    load_into(model, weights)
    model.eval()
    metrics = [metric(stage) for stage in range(stages)]
    with paddle.no_grad():
        whole = (
            parts.eval_data()
            if seed is None
            else drawn_test(SETTINGS["bccd"], data.load(SETTINGS["bccd"], split), seed)
        )
        for batch in whole:
            outputs = [one.numpy() for one in model(*map(paddle.to_tensor, batch["inputs"]))]
            for one in metrics:
                one.update(outputs, batch["targets"])
    return [one.units()["ap"] for one in metrics]


def overfit(steps: int) -> dict[str, Any]:
    """Losses of a training on four pictures alone."""
    found = coco.load("coco128", "train2017")
    rows = [row for row in range(len(found)) if len(found.images[row].boxes)][:4]
    few = DetectionSet(
        found.classes, found.category_ids, tuple(found.images[row] for row in rows), found.pictures
    )
    small = SETTINGS["bccd"]
    setting = replace(
        small, network=replace(small.network, classes=80), warmup=5, milestones=(), upside_down=False
    )
    paddle.seed(0)
    model = SparseRCNN(setting.network)
    step, schedule = optimizer(model, setting, steps)
    batches = data.Training(setting, steps, 0, few)
    model.train()
    losses = []
    for batch in batches:
        inputs, targets = (tuple(map(paddle.to_tensor, batch[name])) for name in ("inputs", "targets"))
        total = loss(model(*inputs), targets)["total"]
        total.backward()
        step.step()
        step.clear_grad()
        schedule.step()
        losses.append(float(total))
    model.eval()
    found_again = metric()
    with paddle.no_grad():
        for batch in data.Evaluation(setting, few):
            outputs = [one.numpy() for one in model(*map(paddle.to_tensor, batch["inputs"]))]
            found_again.update(outputs, batch["targets"])
    figures = found_again.figures()
    return {
        "steps": steps,
        "first": float(np.mean(losses[:4])),
        "last": float(np.mean(losses[-4:])),
        **{name: round(float(figures[name]), 4) for name in ("ap", "ap50")},
    }


def interval(values: np.ndarray) -> list[float]:
    """Of a figure [1 + G]: with all pictures, then with all but each of the G groups."""
    left = values[1:]
    error = np.sqrt((GROUPS - 1) / GROUPS * ((left - left.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, GROUPS - 1) * error
    return [round(float(values[0] + side * half), 4) for side in (-1, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, nargs="?")
    parser.add_argument("--one-stage", type=Path)
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--draws", type=int)
    parser.add_argument("--overfit", type=int)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.overfit:
        print(json.dumps(overfit(asked.overfit)))
        return
    if asked.weights is None:
        parser.error("give WEIGHTS, or --overfit STEPS")
    if asked.draws:
        stages = SETTINGS["bccd"].network.stages
        for seed in range(asked.draws):
            print(f"draw {seed}: AP {by_stage(asked.weights, stages, asked.split, seed)[-1].figure():.4f}")
        return
    named = {
        f"stage {number}": units
        for number, units in enumerate(
            by_stage(asked.weights, SETTINGS["bccd"].network.stages, asked.split), start=1
        )
    }
    if asked.one_stage:
        named["one stage alone"] = by_stage(asked.one_stage, 1, asked.split)[0]
    count = next(iter(named.values())).n
    groups = np.array_split(np.random.default_rng(0).permutation(count), GROUPS)
    chosen = [np.arange(count), *(np.setdiff1d(np.arange(count), group) for group in groups)]
    drawn = {name: np.array(units.figures(chosen)) for name, units in named.items()}
    last = drawn[f"stage {SETTINGS['bccd'].network.stages}"]
    rows = [
        {
            "network": name,
            "ap": round(float(values[0]), 4),
            "ap_95": interval(values),
            "gain_of_the_last": round(float(last[0] - values[0]), 4),
            "gain_95": interval(last - values),
        }
        for name, values in drawn.items()
    ]
    if asked.json:
        print(json.dumps({"pictures": count, "rows": rows}))
        return
    print(f"{count} pictures")
    for row in rows:
        gain = f"last - this {row['gain_of_the_last']:+.4f} {row['gain_95']}"
        print(f"{row['network']:16} AP {row['ap']:.4f} {row['ap_95']}  {gain}")


if __name__ == "__main__":
    main()
