"""How often the verdict is wrong, by simulation.

    python benchmarks/verdict_error_rates.py [--json] [--repetitions 2000] [--only AP] [--keep rates.jsonl]

Each row plays many reproductions of one claim through ``fuxian.verdict.rule``, twice: with a faithful port, and with a
port that is worse than the target by exactly the margin. That second port is at the edge: it may be accepted in at most
5 % and rejected in at most 5 %, which are the errors of the lower and of the upper bound. ``power`` is the faithful
port's chance as the noncentral t distribution gives it, where the figures are normal. Rows marked *limit* break an
assumption on purpose, to show what that costs.

``--keep FILE`` writes each row as it is done and, run again with the same FILE, goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import lognorm, nct, norm, t

from fuxian.metrics import Units
from fuxian.paper import Claim
from fuxian.verdict import Measurements, Run, e_values, rule

Generator = np.random.Generator


@dataclass(frozen=True)
class Case:
    name: str
    play: Callable[[Generator, bool], str]
    """``play(generator, faithful)`` draws one reproduction and returns the verdict's word."""
    power: float | None = None
    limit: bool = False
    slow: int = 1
    """One in so many repetitions is played: what takes long is known less well."""


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


def of_examples(examples: np.ndarray) -> Measurements:
    return Measurements((Run(0, float(examples.mean()), tuple(examples.tolist())),))


def of_seeds(figures: np.ndarray) -> Measurements:
    return Measurements(tuple(Run(seed, float(figure)) for seed, figure in enumerate(figures)))


def weights(
    generator: Generator, faithful: bool, *, ruled: Claim, draw: Callable[[Generator, float], np.ndarray]
) -> str:
    """``draw(generator, mean)`` draws the examples of a port whose true figure is ``mean``."""
    sign = 1 if ruled.direction == "higher" else -1
    assert ruled.target is not None
    examples = draw(generator, ruled.target if faithful else ruled.target - sign * ruled.margin)
    return rule(ruled, of_examples(examples)).verdict


def at_truth(
    generator: Generator,
    faithful: bool,
    *,
    ruled: Claim,
    truth: Callable[[], float],
    draw: Callable[[Generator], Measurements],
) -> str:
    """The port is always the same and the target moves: to its true figure, or further by the margin."""
    sign = 1 if ruled.direction == "higher" else -1
    target = truth() if faithful else truth() + sign * ruled.margin
    return rule(ruled.model_copy(update={"target": target}), draw(generator)).verdict


def weights_against_runs(generator: Generator, faithful: bool, *, ruled: Claim, runs: int) -> str:
    reference = generator.normal(0.9, 0.01, runs)
    examples = generator.normal(0.9 - (0 if faithful else ruled.margin), 0.2, 600)
    return rule(ruled, of_examples(examples), reference.tolist()).verdict


def procedure(
    generator: Generator,
    faithful: bool,
    *,
    ruled: Claim,
    n: int,
    runs: int | None = None,
    spread: float = 1.0,
    margin_from_runs: bool = False,
    draw: Callable[[Generator, int], np.ndarray] = lambda generator, n: generator.normal(0, 1, n),
) -> str:
    """Figures around 0; ``draw`` draws them for reference runs, and for the port ``spread`` times as wide."""
    reference = None if runs is None else draw(generator, runs)
    if margin_from_runs and reference is not None:
        ruled = ruled.model_copy(update={"margin": float(reference.std(ddof=1))})
    figures = (0 if faithful else -ruled.margin) + spread * draw(generator, n)
    return rule(ruled, of_seeds(figures), None if reference is None else reference.tolist()).verdict


def second_look(generator: Generator, faithful: bool, *, ruled: Claim, n: int) -> str:
    """Adds the seeds that the first ruling asks for, at most 50, and rules again on all."""
    centre = 0 if faithful else -ruled.margin
    figures = generator.normal(centre, 1, n)
    verdict = rule(ruled, of_seeds(figures))
    if verdict.needed is not None:
        more = generator.normal(centre, 1, min(verdict.needed["seeds"], 50))
        verdict = rule(ruled, of_seeds(np.concatenate([figures, more])))
    return verdict.verdict


def attempts(generator: Generator, faithful: bool, *, ruled: Claim, n: int, count: int, alpha: float) -> str:
    """So many attempts on fresh examples, until one is accepted; else the last word."""
    share = ruled.target if faithful else ruled.target - ruled.margin
    word = ""
    for _ in range(count):
        examples = generator.binomial(1, share, n).astype(float)
        word = rule(ruled, of_examples(examples), alpha=alpha).verdict
        if word == "accepted":
            break
    return word


def drawn_without_end(
    generator: Generator, faithful: bool, *, target: float, margin: float, most: int
) -> str:
    """Examples one by one, an e-value looked at after each hundred, until it says a word."""
    edge = target - margin
    right = np.cumsum(generator.random(most) < (target if faithful else edge))
    for n in range(100, most + 1, 100):
        found = e_values(int(right[n - 1]), n - int(right[n - 1]), edge)
        if found.accepting >= 1 / 0.05:
            return "accepted"
        if found.rejecting >= 1 / 0.05:
            return "rejected"
    return "inconclusive"


# Populations of units, from which test sets are drawn: their figure is the true one.


def drawn(population: Units, chosen: np.ndarray) -> Measurements:
    """A test set of the chosen units of a population."""
    arrays: dict[str, np.ndarray] = {}
    for name, array in population.arrays.items():
        part = f"{name.split('_')[0]}_unit"
        numbers = population.arrays.get("unit", population.arrays.get(part))
        if name == "threshold":
            arrays[name] = array
        elif numbers is None:
            arrays[name] = array[chosen]
        else:
            # a population's rows stand in the order of their units
            first, last = (np.searchsorted(numbers, chosen, side=side) for side in ("left", "right"))
            if name in ("unit", part):
                arrays[name] = np.repeat(np.arange(len(chosen)), last - first)
            else:
                arrays[name] = np.concatenate([array[a:b] for a, b in zip(first, last, strict=True)])
    units = Units(population.kind, len(chosen), arrays, population.settings)
    return Measurements((Run(0, units.figure(), units=units),))


def sets(generator: Generator, population: Callable[[], Units], n: int) -> Measurements:
    found = population()
    return drawn(found, generator.integers(0, found.n, n))


@cache
def figure_of(population: Callable[[], Units]) -> float:
    return population().figure()


@cache
def detections() -> Units:
    """3,000 images of 0 to 7 objects of three classes; in hard images objects are missed and boxes lie off."""
    from fuxian.metrics import AveragePrecision, DetectedImage

    random = np.random.default_rng(1)
    images = []
    for _ in range(3000):
        count, hard = random.integers(0, 8), random.beta(2, 3)
        truth = np.c_[random.uniform(0, 400, (count, 2)), random.uniform(20, 120, (count, 2))]
        kinds = random.choice(3, count, p=[0.6, 0.3, 0.1])
        seen = random.random(count) > 0.6 * hard
        boxes = truth[seen] + random.normal(0, 1 + 12 * hard, (int(seen.sum()), 4))
        false = random.poisson(2 * hard)
        other = np.c_[random.uniform(0, 400, (false, 2)), random.uniform(20, 120, (false, 2))]
        boxes = np.maximum(np.r_[boxes, other], 1)
        scores = np.r_[random.beta(5, 1 + 2 * hard, int(seen.sum())), random.beta(2, 3, false)]
        classes = np.r_[kinds[seen], random.integers(0, 3, false)]
        images.append(DetectedImage(boxes, scores, classes, truth, kinds))
    metric = AveragePrecision(lambda outputs, targets, meta: outputs)
    metric.update(images, None)
    return metric.units()["ap"]


@cache
def text() -> Units:
    """20,000 images with words: hmean of matched, true and detected counts."""
    random = np.random.default_rng(2)
    truths = random.poisson(6, 20_000)
    matched = random.binomial(truths, random.beta(6, 1.5, 20_000))
    found = matched + random.poisson(0.12 * truths)
    return Units(
        "ratio of sums", 20_000, {"above": 2.0 * matched[:, None], "below": 1.0 * (truths + found)[:, None]}
    )


@cache
def masks() -> Units:
    """20,000 pictures: pixels of intersection and union, of pictures large and small, easy and hard."""
    random = np.random.default_rng(3)
    union = random.lognormal(9, 0.7, 20_000)
    inside = union * random.beta(20, 1.2, 20_000)
    return Units("ratio of sums", 20_000, {"above": inside[:, None], "below": union[:, None]})


@cache
def clicks() -> Units:
    """4,000 users with 3 to 60 rows; users differ in how often they click and in how well they are known."""
    random = np.random.default_rng(4)
    unit = np.repeat(np.arange(4000), random.integers(3, 61, 4000))
    often, known = random.normal(-1, 1, 4000)[unit], random.gamma(2, 0.4, 4000)[unit]
    label = (random.random(len(unit)) < 1 / (1 + np.exp(-often))).astype(int)
    score = random.normal(size=len(unit)) + known * label + 0.5 * often
    return Units("area under the curve", 4000, {"unit": unit, "score": score, "label": label})


FAR = 0.001


def pairs(generator: Generator, genuine: int, impostor: int) -> Measurements:
    score = np.r_[generator.normal(3.5, 1, genuine), generator.normal(0, 1, impostor)]
    same = np.r_[np.ones(genuine, int), np.zeros(impostor, int)]
    units = Units("true accept rate", len(same), {"score": score, "same": same}, {"far": FAR})
    return Measurements((Run(0, units.figure(), units=units),))


def folds(differ: float) -> Callable[[], Units]:
    """1,000 folds of 300 genuine and 300 impostor pairs; ``differ``: standard deviation of their difficulty."""

    @cache
    def population() -> Units:
        random = np.random.default_rng(5)
        unit, same = np.repeat(np.arange(1000), 600), np.tile([0, 1], 300_000)
        score = random.normal(size=600_000) + same * (3 + differ * random.normal(size=1000)[unit])
        arrays = {"unit": unit, "score": score, "same": same, "threshold": np.linspace(0.5, 2.5, 81)}
        return Units("accuracy over folds", 1000, arrays)

    return population


EQUAL_FOLDS, DIFFERENT_FOLDS = folds(0.1), folds(0.6)


def capped_mean(scale: float, cap: float, rare: float = 0.0) -> float:
    """The mean of lognormal errors with mean 1, some of them replaced by what lies beyond the cap."""
    grid = (np.arange(1_000_000) + 0.5) / 1_000_000
    errors = np.minimum(lognorm.ppf(grid, scale, scale=math.exp(-(scale**2) / 2)), cap)
    return (1 - rare) * float(errors.mean()) + rare * cap


def errors(generator: Generator, n: int, scale: float, rare: float = 0.0) -> Measurements:
    found = generator.lognormal(-(scale**2) / 2, scale, n)
    return of_examples(np.where(generator.random(n) < rare, 1e4, found))


def correlated_tasks(generator: Generator, mean: float, n: int, queries: int, rho: float) -> np.ndarray:
    """Task means whose queries fail together, with the correlation ``rho``."""
    size = (1 - rho) / rho
    return generator.binomial(queries, generator.beta(mean * size, (1 - mean) * size, n)) / queries


def skewed(generator: Generator, n: int) -> np.ndarray:
    """Seeds of which some come out far lower: a mirrored lognormal with mean 0 and standard deviation 1."""
    spread = math.sqrt((math.e - 1) * math.e)
    return (math.exp(0.5) - generator.lognormal(0, 1, n)) / spread


def cases() -> list[Case]:
    found = []

    def add_weights(name: str, ruled: Claim, draw: Callable, **more: Any) -> None:
        found.append(Case(f"weights, {name}", partial(weights, ruled=ruled, draw=draw), **more))

    fraction = {"range": (0.0, 1.0)}
    add_weights(
        "normal, n = 30, margin 0.5 sd",
        claim("weights", 0.5, 0.0, range=(-9.0, 9.0)),
        lambda generator, mean: generator.normal(mean, 1, 30),
        power=power(0.5 * math.sqrt(30), 29),
    )
    for target, margin, queries in ((0.987, 0.004, 5), (0.999, 0.001, 25)):
        add_weights(
            f"600 tasks of {queries} queries, {100 * target:g} +- {100 * margin:g} %",
            claim("weights", margin, target, **fraction),
            lambda generator, mean, queries=queries: generator.binomial(queries, mean, 600) / queries,
        )
    for n, target, margin in ((100, 0.999, 0.001), (300, 0.998, 0.002), (600, 0.99, 0.005)):
        add_weights(
            f"{n} tasks of 25 queries that fail together, {100 * target:g} +- {100 * margin:g} %",
            claim("weights", margin, target, **fraction),
            lambda generator, mean, n=n: correlated_tasks(generator, mean, n, 25, 0.5),
        )
    for n, target, margin in ((10_000, 0.92, 0.005), (600, 0.99, 0.007), (200, 0.99, 0.008)):
        add_weights(
            f"{n} pictures, right or wrong, {100 * target:g} +- {100 * margin:g} %",
            claim("weights", margin, target, **fraction),
            lambda generator, mean, n=n: generator.binomial(1, mean, n).astype(float),
        )
    for name, scale, cap, rare, limit in (
        ("lognormal errors (sigma 1), capped", 1.0, 15.0, 0.0, False),
        ("lognormal errors (sigma 1.5), capped", 1.5, 15.0, 0.0, False),
        ("1 error in 1000 at the cap, which is 15 means", 0.5, 15.0, 0.001, False),
        ("1 error in 1000 at the cap, which is 150 means", 0.5, 150.0, 0.001, False),
    ):
        margin = 0.1 if cap < 100 else 0.8
        ruled = claim("weights", margin, 1.0, "lower", range=(0.0, cap), capped=True)
        found.append(
            Case(
                f"weights, {name}, n = 600, margin {margin:g} of the mean",
                partial(
                    at_truth,
                    ruled=ruled,
                    truth=cache(partial(capped_mean, scale, cap, rare)),
                    draw=partial(errors, n=600, scale=scale, rare=rare),
                ),
                limit=limit,
                slow=2,
            )
        )
    found.append(
        Case(
            "weights, n = 600, against 5 reference runs",
            partial(weights_against_runs, ruled=claim("weights", 0.03, None, range=(-1.0, 3.0)), runs=5),
        )
    )

    def add_set(name: str, margin: float, population: Callable[[], Units], n: int, **more: Any) -> None:
        play = partial(
            at_truth,
            ruled=claim("weights", margin, 0.5),
            truth=partial(figure_of, population),
            draw=partial(sets, population=population, n=n),
        )
        found.append(Case(f"set, {name}", play, **more))

    add_set("AP, 300 images", 0.03, detections, 300, slow=10)
    add_set("AP, 100 images", 0.05, detections, 100, slow=5)
    add_set("hmean, 500 images", 0.02, text, 500)
    add_set("hmean, 100 images", 0.04, text, 100)
    add_set("IoU of a whole set, 160 images", 0.01, masks, 160)
    add_set("AUC, 1000 users", 0.01, clicks, 1000, slow=10)
    add_set("AUC, 100 users", 0.03, clicks, 100, slow=5)
    for genuine, impostor in ((3000, 20_000), (300, 4000)):
        play = partial(
            at_truth,
            ruled=claim("weights", 0.05, 0.5),
            truth=lambda: float(norm.sf(norm.isf(FAR) - 3.5)),
            draw=partial(pairs, genuine=genuine, impostor=impostor),
        )
        found.append(
            Case(f"set, TAR at FAR {FAR:g}, {genuine} genuine and {impostor} impostor pairs", play, slow=4)
        )
    add_set("accuracy over 10 folds of 600 pairs", 0.005, EQUAL_FOLDS, 10)
    add_set("accuracy over 10 folds that differ", 0.02, DIFFERENT_FOLDS, 10, limit=True)

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
            "procedure, 10 seeds of twice the spread against 10 reference runs, margin 2 sd",
            partial(procedure, ruled=claim("procedure", 2.0, None), n=10, runs=10, spread=2.0),
        ),
        Case(
            "procedure, 10 skewed seeds against 10 skewed reference runs, margin 1 sd",
            partial(procedure, ruled=claim("procedure", 1.0, None), n=10, runs=10, draw=skewed),
        ),
        Case(
            "procedure, 5 skewed seeds against a number, margin 1 sd",
            partial(procedure, ruled=claim("procedure", 1.0, 0.0), n=5, draw=skewed),
            limit=True,
        ),
        Case(
            "procedure, 5 seeds against 5 reference runs, margin = their own sd",
            partial(procedure, ruled=claim("procedure", 1.0, None), n=5, runs=5, margin_from_runs=True),
        ),
        Case(
            "procedure, one run of 1.5 times the spread of 5 reference runs, margin 3 sd",
            partial(procedure, ruled=claim("procedure", 3.0, 0.0), n=1, runs=5, spread=1.5),
            limit=True,
        ),
        Case(
            "procedure, 5 seeds, then as many more as the verdict asks for, margin 1 sd",
            partial(second_look, ruled=claim("procedure", 1.0, 0.0), n=5),
            limit=True,
        ),
    ]
    of_pictures = claim("weights", 0.02, 0.95, **fraction)
    for count, alpha, limit in ((5, 0.05, True), (5, 0.01, False)):
        found.append(
            Case(
                f"{count} attempts on 1000 fresh pictures each, 95 +- 2 %, alpha {alpha:g}",
                partial(attempts, ruled=of_pictures, n=1000, count=count, alpha=alpha),
                limit=limit,
            )
        )
    found.append(
        Case(
            "e-value after every 100 of up to 5000 pictures, 95 +- 2 %",
            partial(drawn_without_end, target=0.95, margin=0.02, most=5000),
        )
    )
    return found


def simulate(case: Case, repetitions: int, seed: int = 0) -> Row:
    shares = {}
    played = max(1, repetitions // case.slow)
    for faithful in (True, False):
        generator = np.random.default_rng([seed, int(faithful)])
        words = Counter(case.play(generator, faithful) for _ in range(played))
        shares[faithful] = {word: count / played for word, count in words.items()}
    return Row(
        case.name,
        case.limit,
        played,
        edge_accepted=shares[False].get("accepted", 0.0),
        edge_rejected=shares[False].get("rejected", 0.0),
        faithful_accepted=shares[True].get("accepted", 0.0),
        power=case.power,
        faithful_rejected=shares[True].get("rejected", 0.0),
    )


def kept_rows(file: Path | None, repetitions: int) -> dict[str, Row]:
    """The rows that an earlier call has written with as many repetitions."""
    if file is None or not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {line["row"]["name"]: Row(**line["row"]) for line in lines if line["repetitions"] == repetitions}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON list of rows on stdout")
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--only", default="", help="the rows whose name has this in it")
    parser.add_argument("--keep", type=Path, help="a file of finished rows, to go on from")
    arguments = parser.parse_args()
    rows = []
    kept = kept_rows(arguments.keep, arguments.repetitions)
    chosen = [case for case in cases() if arguments.only in case.name]
    began, done = time.monotonic(), 0
    for case in chosen:
        row = kept.get(case.name)
        if row is None:
            row = simulate(case, arguments.repetitions)
            done += 1
            left = len(chosen) - len(rows) - 1
            each = (time.monotonic() - began) / done
            print(f"{case.name}: about {left * each / 60:.0f} min left", file=sys.stderr, flush=True)
            if arguments.keep is not None:
                with arguments.keep.open("a") as file:
                    file.write(json.dumps({"repetitions": arguments.repetitions, "row": asdict(row)}) + "\n")
        rows.append(row)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    print(f"{'':86} {'':>6}  worse by the margin     faithful port")
    print(f"{'':86} {'played':>6}  accepted  rejected   accepted   power  rejected")
    for row in rows:
        computed = "      -" if row.power is None else f"{row.power:7.1%}"
        print(
            f"{row.name + (' (limit)' if row.limit else ''):86} {row.repetitions:6}"
            f"  {row.edge_accepted:8.1%}  {row.edge_rejected:8.1%}"
            f"   {row.faithful_accepted:8.1%} {computed}  {row.faithful_rejected:8.1%}"
        )


if __name__ == "__main__":
    main()
