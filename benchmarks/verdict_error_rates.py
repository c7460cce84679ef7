"""How often the verdict is wrong, by simulation: python benchmarks/verdict_error_rates.py [--json].

Each row plays many reproductions of one claim through ``fuxian.verdict.rule``, twice: with a faithful port,
and with a port that is worse than the target by exactly the margin. That second port is at the edge: it may
be accepted in at most 5 % and rejected in at most 5 %. ``power`` is the faithful port's chance as the
noncentral t distribution gives it, where the figures are normal. Rows marked *limit* break an assumption on
purpose, to show what that costs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import nct, t

from fuxian.paper import Claim
from fuxian.verdict import Measurements, Run, rule

Played = tuple[Claim, Measurements, list[float] | None]


@dataclass(frozen=True)
class Case:
    name: str
    play: Callable[[np.random.Generator, bool], Played]
    """``play(generator, faithful)`` draws one reproduction."""
    power: float | None = None
    limit: bool = False
    second_look: bool = False
    """Add the seeds that the first ruling asks for, at most 50, and rule again."""


@dataclass(frozen=True)
class Row:
    """Shares of all repetitions."""

    name: str
    limit: bool
    repetitions: int
    edge_accepted: float
    edge_rejected: float
    faithful_accepted: float
    power: float | None
    faithful_rejected: float


def claim(
    subject: str, margin: float, target: float | None, direction: str = "higher", **more: object
) -> Claim:
    """A claim about nothing but numbers. Without a target a placeholder stands for the reference runs."""
    recorded = {"file": "-", "repo": "-", "commit": "-", "command": "-", "metric": "figure"}
    values = [{"seed": 0, "value": 0.0}, {"seed": 1, "value": 1.0}]
    fields = {
        "id": "simulated",
        "title": "-",
        "dataset": "-",
        "split": "-",
        "metric": "figure",
        "unit": "-",
        "direction": direction,
        "scope": "scaled",
        "subject": subject,
        "target": target,
        "reference": {**recorded, "values": values} if target is None else None,
        "margin": margin,
        "checkpoint": "last",
        "seeds": [0],
        "iterations": 1,
        **more,
    }
    return Claim.model_validate(fields)


def power(shift: float, freedom: float) -> float:
    """The chance that a t statistic with the noncentrality ``shift`` exceeds its 95 % point."""
    return float(nct.sf(t.ppf(0.95, freedom), freedom, shift))


def weights(
    generator: np.random.Generator,
    faithful: bool,
    *,
    ruled: Claim,
    draw: Callable[[np.random.Generator, float], np.ndarray],
) -> Played:
    sign = 1 if ruled.direction == "higher" else -1
    assert ruled.target is not None
    examples = draw(generator, ruled.target if faithful else ruled.target - sign * ruled.margin)
    return ruled, Measurements((Run(0, float(examples.mean()), tuple(examples.tolist())),)), None


def weights_against_runs(
    generator: np.random.Generator, faithful: bool, *, ruled: Claim, runs: int
) -> Played:
    reference = generator.normal(0.9, 0.01, runs)
    examples = generator.normal(0.9 - (0 if faithful else ruled.margin), 0.2, 600)
    measured = Measurements((Run(0, float(examples.mean()), tuple(examples.tolist())),))
    return ruled, measured, reference.tolist()


def procedure(
    generator: np.random.Generator,
    faithful: bool,
    *,
    ruled: Claim,
    n: int,
    runs: int | None = None,
    spread: float = 1.0,
    margin_from_runs: bool = False,
) -> Played:
    """Figures around 0; reference runs have a standard deviation of 1 and the port's of ``spread``."""
    reference = None if runs is None else generator.normal(0, 1, runs)
    if margin_from_runs and reference is not None:
        ruled = ruled.model_copy(update={"margin": float(reference.std(ddof=1))})
    figures = generator.normal(0 if faithful else -ruled.margin, spread, n)
    measured = Measurements(tuple(Run(seed, float(figure)) for seed, figure in enumerate(figures)))
    return ruled, measured, None if reference is None else reference.tolist()


def cases() -> list[Case]:
    found = []

    def add_weights(name: str, ruled: Claim, draw: Callable, **more: Any) -> None:
        found.append(Case(f"weights, {name}", partial(weights, ruled=ruled, draw=draw), **more))

    fraction = {"range": (0.0, 1.0)}
    add_weights(
        "normal, n = 30, margin 0.5 sd",
        claim("weights", 0.5, 0.0),
        lambda generator, mean: generator.normal(mean, 1, 30),
        power=power(0.5 * math.sqrt(30), 29),
    )
    for target, margin, queries in ((0.987, 0.004, 5), (0.999, 0.001, 25)):
        add_weights(
            f"600 tasks of {queries} queries, {100 * target:g} +- {100 * margin:g} %",
            claim("weights", margin, target, **fraction),
            lambda generator, mean, queries=queries: generator.binomial(queries, mean, 600) / queries,
        )
    for n, target, margin in ((10_000, 0.92, 0.005), (200, 0.99, 0.008)):
        add_weights(
            f"{n} pictures, {100 * target:g} +- {100 * margin:g} %",
            claim("weights", margin, target, **fraction),
            lambda generator, mean, n=n: generator.binomial(1, mean, n).astype(float),
        )
    for n, limit in ((600, False), (10, True)):
        add_weights(
            f"squared errors (exponential), n = {n}, lower is better",
            claim("weights", 3 / math.sqrt(n), 1.0, "lower"),
            lambda generator, mean, n=n: generator.exponential(mean, n),
            limit=limit,
        )
    found.append(
        Case(
            "weights, n = 600, against 5 reference runs",
            partial(weights_against_runs, ruled=claim("weights", 0.03, None), runs=5),
        )
    )
    for n, margin in ((2, 3.0), (3, 2.0), (5, 1.5), (10, 1.0)):
        found.append(
            Case(
                f"procedure, {n} seeds, margin {margin:g} sd",
                partial(procedure, ruled=claim("procedure", margin, 0.0), n=n),
                power(margin * math.sqrt(n), n - 1),
            )
        )
    for runs in (5, 10):
        found.append(
            Case(
                f"procedure, one run, spread of {runs} reference runs, margin 3 sd",
                partial(procedure, ruled=claim("procedure", 3.0, 0.0), n=1, runs=runs),
                power(3.0, runs - 1),
            )
        )
        found.append(
            Case(
                f"procedure, one run against {runs} reference runs, margin 3 sd",
                partial(procedure, ruled=claim("procedure", 3.0, None), n=1, runs=runs),
                power(3.0 / math.sqrt(1 + 1 / runs), runs - 1),
            )
        )
    for n, margin in ((2, 6.0), (5, 2.0), (14, 1.0)):
        found.append(
            Case(
                f"procedure, {n} seeds against {n} reference runs, margin {margin:g} sd",
                partial(procedure, ruled=claim("procedure", margin, None), n=n, runs=n),
                # Welch's degrees of freedom fall well below 2n - 2 where n is 2
                power(margin / math.sqrt(2 / n), 2 * n - 2) if n > 2 else None,
            )
        )
    found += [
        Case(
            "procedure, 5 seeds of twice the spread against 10 reference runs, margin 2 sd",
            partial(procedure, ruled=claim("procedure", 2.0, None), n=5, runs=10, spread=2.0),
        ),
        Case(
            "procedure, 5 seeds against 5 reference runs, margin = their own sd",
            partial(procedure, ruled=claim("procedure", 1.0, None), n=5, runs=5, margin_from_runs=True),
        ),
        Case(
            "procedure, one run against 5 reference runs, margin = their own sd",
            partial(procedure, ruled=claim("procedure", 1.0, None), n=1, runs=5, margin_from_runs=True),
        ),
        Case(
            "procedure, one run of 1.5 times the spread of 5 reference runs, margin 3 sd",
            partial(procedure, ruled=claim("procedure", 3.0, 0.0), n=1, runs=5, spread=1.5),
            limit=True,
        ),
        Case(
            "procedure, 5 seeds, then as many more as the verdict asks for, margin 1 sd",
            partial(procedure, ruled=claim("procedure", 1.0, 0.0), n=5),
            limit=True,
            second_look=True,
        ),
    ]
    return found


def simulate(case: Case, repetitions: int, seed: int = 0) -> Row:
    shares = {}
    for faithful in (True, False):
        generator = np.random.default_rng([seed, int(faithful)])
        words: Counter[str] = Counter()
        for _ in range(repetitions):
            ruled, measured, reference = case.play(generator, faithful)
            verdict = rule(ruled, measured, reference)
            if case.second_look and verdict.needed is not None:
                more = min(verdict.needed["seeds"], 50)
                figures = generator.normal(0 if faithful else -ruled.margin, 1, more)
                added = tuple(Run(1000 + number, float(figure)) for number, figure in enumerate(figures))
                verdict = rule(ruled, Measurements(measured.runs + added), reference)
            words[verdict.verdict] += 1
        shares[faithful] = {word: count / repetitions for word, count in words.items()}
    return Row(
        case.name,
        case.limit,
        repetitions,
        edge_accepted=shares[False].get("accepted", 0.0),
        edge_rejected=shares[False].get("rejected", 0.0),
        faithful_accepted=shares[True].get("accepted", 0.0),
        power=case.power,
        faithful_rejected=shares[True].get("rejected", 0.0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON list of rows on stdout")
    parser.add_argument("--repetitions", type=int, default=4000)
    arguments = parser.parse_args()
    rows = [simulate(case, arguments.repetitions) for case in cases()]
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    error = 1.96 * math.sqrt(0.05 * 0.95 / arguments.repetitions)
    print(f"{arguments.repetitions} repetitions; 5 % is known to +- {100 * error:.1f} points\n")
    print(f"{'':82} worse by the margin     faithful port")
    print(f"{'':82} accepted  rejected   accepted   power  rejected")
    for row in rows:
        computed = "      -" if row.power is None else f"{row.power:7.1%}"
        print(
            f"{row.name + (' (limit)' if row.limit else ''):82}"
            f" {row.edge_accepted:8.1%}  {row.edge_rejected:8.1%}"
            f"   {row.faithful_accepted:8.1%} {computed}  {row.faithful_rejected:8.1%}"
        )


if __name__ == "__main__":
    main()
