"""What the two relevances bring on MovieLens: python benchmarks/dmr_ablation.py RUNS [--seeds N] [--json].

Trains the claim's network (DMR), either network alone (U2I, I2I), DIN and logistic regression, each with the same seeds
and steps, in the folder RUNS; a training that is there is gone on with, and one of the claim's own runs can be given
with --dmr. Printed are the area under the curve on the public test (mean over the seeds, and each), and how far DMR's
mean lies above each: the interval over users (95 %, jackknife over 20 groups of them, as claims are ruled on) and that
over seeds (95 %, t). Whoever is above on both is better here.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from fuxian.training.machine import prepare

prepare()

import numpy as np
from scipy.stats import t as student

from fuxian.metrics import Units
from fuxian.papers.dmr.recipe import recipe
from fuxian.papers.dmr.settings import MOVIES, Variant
from fuxian.papers.find import find_claim
from fuxian.training.checkpoints import latest, load_evaluated, weights_of
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit
from fuxian.verdict.sets import GROUPS

VARIANTS: tuple[Variant, ...] = ("dmr", "u2i", "i2i", "din", "lr")
LINEAR_RATE = 0.01
"""Logistic regression's learning rate: at the networks' 0.001 it is far from its end after as many steps."""


def trained(variant: Variant, seed: int, iterations: int, runs: Path) -> Units:
    """What each user contributed to the area under the curve of one training."""
    setting = replace(MOVIES, learning_rate=LINEAR_RATE) if variant == "lr" else MOVIES
    parts = recipe(seed=seed, iterations=iterations, variant=variant, setting=setting)
    folder = runs / f"{variant}-{iterations}" / f"seed_{seed}"
    length = Length(iterations=iterations, log_every=100, checkpoint_every=iterations)
    model = fit(parts, folder, seed=seed, length=length)
    return evaluate(parts, model).units["auc"]


def of_run(folder: Path, seed: int) -> Units:
    """The same of a run of `fuxian reproduce dmr/movielens`."""
    newest = latest(folder / f"seed_{seed}" / "checkpoints")
    if newest is None:
        raise SystemExit(f"{folder}: there is no checkpoint of seed {seed}")
    parts = recipe(seed=seed)
    return evaluate(parts, load_evaluated(parts, weights_of(newest))).units["auc"]


def without_groups(found: list[Units]) -> np.ndarray:
    """The mean figure over the seeds without each group of users [GROUPS]."""
    group = np.arange(found[0].n) % GROUPS
    left = [np.flatnonzero(group != number) for number in range(GROUPS)]
    return np.mean([units.figures(left) for units in found], axis=0)


def difference(one: dict, other: dict) -> dict:
    gains = np.array(one["figures"]) - np.array(other["figures"])
    left = np.array(one["left"]) - np.array(other["left"])
    by_users = float(np.sqrt((GROUPS - 1) / GROUPS * np.square(left - left.mean()).sum()))
    half = float(student.ppf(0.975, GROUPS - 1)) * by_users
    mean = float(gains.mean())
    row = {"name": f"{one['name']} - {other['name']}", "mean": mean, "users": [mean - half, mean + half]}
    if len(gains) > 1:
        error = float(student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
        row["seeds"] = [mean - error, mean + error]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the trainings")
    parser.add_argument("--seeds", type=int, help="how many; the claim's if absent")
    parser.add_argument("--iterations", type=int, help="of each training; the claim's if absent")
    parser.add_argument(
        "--dmr", type=Path, help="a run of `fuxian reproduce dmr/movielens` to take DMR's weights from"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    asked = parser.parse_args()
    _, claim = find_claim("dmr/movielens")
    iterations = asked.iterations or claim.iterations
    seeds = claim.seeds[: asked.seeds]
    rows = []
    for variant in VARIANTS:
        found = [
            of_run(asked.dmr, seed)
            if asked.dmr and variant == "dmr"
            else trained(variant, seed, iterations, asked.runs)
            for seed in seeds
        ]
        figures = [units.figure() for units in found]
        rows.append({"name": variant, "figures": figures, "left": without_groups(found).tolist()})
        if not asked.json:
            each = " ".join(f"{figure:.4f}" for figure in figures)
            print(f"{variant:5}{np.mean(figures):9.4f}   seeds {each}", flush=True)
    differences = [difference(rows[0], other) for other in rows[1:]]
    if asked.json:
        rows = [{key: value for key, value in row.items() if key != "left"} for row in rows]
        print(json.dumps({"iterations": iterations, "rows": rows, "differences": differences}))
        return
    for one in differences:
        bounds = "  ".join(
            f"{what} [{one[what][0]:+.4f}, {one[what][1]:+.4f}]" for what in ("users", "seeds") if what in one
        )
        print(f"{one['name']:12} {one['mean']:+.4f}  {bounds}")


if __name__ == "__main__":
    main()
