"""What MAML gains over its baselines: python benchmarks/maml_baselines.py [--iterations N] [--seeds N] [--json].

Trains MAML, its first-order approximation (section 5.2 of the paper) and the pre-training baseline, which learns
without inner steps and adapts only when tested (section 5.1), each with the same seeds and so on the same tasks. Each
row is the figure on the 600 test tasks before adapting, after 1 and after 10 steps, averaged over the seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from fuxian.training.machine import prepare

prepare()

from fuxian.papers.maml.recipe import Gradients, recipe
from fuxian.papers.maml.settings import SETTINGS
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit

SHOWN = (0, 1, 10)


@dataclass(frozen=True)
class Row:
    """``after[s]``: the mean over seeds of the figure after s inner steps; ``seeds``: after the last, seed by seed."""

    name: str
    claim: str
    metric: str
    iterations: int
    after: dict[int, float]
    seeds: list[float]


def measure(claim: str, gradients: Gradients, seeds: int, iterations: int) -> Row:
    """Trains one variant with every seed and tests it."""
    metric = "accuracy" if SETTINGS[claim].ways else "mse"
    runs = []
    for seed in range(seeds):
        print(f"{claim}, {gradients}, seed {seed}", file=sys.stderr, flush=True)
        parts = recipe(claim, seed=seed, iterations=iterations, gradients=gradients)
        with tempfile.TemporaryDirectory() as folder:
            length = Length(iterations=iterations, checkpoint_every=iterations)
            model = fit(parts, Path(folder), seed=seed, length=length)
        figures = evaluate(parts, model).figures
        runs.append([figures[f"{metric}_after_{step}"] for step in SHOWN])
    means = [sum(column) / seeds for column in zip(*runs, strict=True)]
    return Row(
        gradients, claim, metric, iterations, dict(zip(SHOWN, means, strict=True)), [run[-1] for run in runs]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--claim", choices=SETTINGS, default="sinusoid-10shot")
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="a list of rows instead of a table")
    options = parser.parse_args()
    if options.iterations < 1 or options.seeds < 1:
        parser.error("--iterations and --seeds must be at least 1")
    rows = [measure(options.claim, one, options.seeds, options.iterations) for one in get_args(Gradients)]
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(
        f"{options.claim}, {options.iterations} iterations, {options.seeds} seeds: {rows[0].metric} after inner steps"
    )
    print(f"{'':16}" + "".join(f"{step:>10}" for step in SHOWN))
    for row in rows:
        print(f"{row.name:16}" + "".join(f"{row.after[step]:10.4f}" for step in SHOWN))


if __name__ == "__main__":
    main()
