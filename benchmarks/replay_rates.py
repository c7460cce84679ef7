"""Which logs a replay turns away: python benchmarks/replay_rates.py [--claims NAME ...] [--seeds N] [--json].

Honest logs are made with each instruction set, with two threads and in the portable mode, and are judged by runs of
which none is the log's own: as if its processor were another one than ours. Other logs are not what they say: of
another seed, with a learning rate that is 20 % lower or higher, with the batches in another order, with inputs that
noise of a tenth of their deviation was added to. Each row gives how many of its logs passed. Every training is a
process of its own, of ten steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from fuxian.submission.log_lines import Figure, LogLine
from fuxian.training.machine import prepare
from fuxian.training.numeric_mode import OVERRULES, PORTABLE
from fuxian.verify.reasons import Failed
from fuxian.verify.replay import AS_IT_IS, OTHERWISE, Variant, judge

STEPS = 10
CLAIMS = ("maml/sinusoid-10shot", "maml/omniglot-5way-1shot", "./examples/port_a_paper")
CHEATS = ("another seed", "rate 20 % lower", "rate 20 % higher", "another order", "other data")
RATES = {"rate 20 % lower": 0.8, "rate 20 % higher": 1.2}
VARIANTS = (*AS_IT_IS, *OTHERWISE)
PERTURBED = "perturbed"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--claims", nargs="+", default=CLAIMS, help="PAPER/CLAIM, or a folder of your own")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each claim, by seed from 0")
    parser.add_argument("--json", action="store_true", help="a list of rows instead of a table")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        claim, seed, cheat = options.train
        print(json.dumps(train(claim, int(seed), cheat)))
        return
    rows = [row for claim in options.claims for row in measure(claim, options.seeds)]
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'claim':28}{'log':24}{'logs':>6}{'passed':>8}{'fewest steps compared':>24}")
    for row in rows:
        print(
            f"{row['claim']:28}{row['log']:24}{row['logs']:6}{row['passed']:8}{row['fewest_steps'] or '-':>24}"
        )


def measure(claim: str, seeds: int) -> list[dict]:
    """A row for every kind of log."""
    kinds = [*(f"honest, {variant.name}" for variant in VARIANTS if variant.name != PERTURBED), *CHEATS]
    found: dict[str, list[int]] = {kind: [] for kind in kinds}
    for seed in range(seeds):
        for variant in VARIANTS:
            if variant.name != PERTURBED:
                log = losses(claim, seed, variant, "")
                found[f"honest, {variant.name}"].append(steps_compared(log, without(claim, seed, variant)))
        for cheat in CHEATS:
            log = losses(claim, seed, AS_IT_IS[0], cheat)
            found[cheat].append(
                steps_compared(log, lambda variant, seed=seed: losses(claim, seed, variant, ""))
            )
        print(f"{claim}: seed {seed} done", file=sys.stderr)
    return [
        {
            "claim": claim,
            "log": kind,
            "logs": len(steps),
            "passed": sum(number > 0 for number in steps),
            "fewest_steps": min((number for number in steps if number), default=None),
        }
        for kind, steps in found.items()
    ]


def without(claim: str, seed: int, own: Variant) -> Callable[[Variant], list[LogLine]]:
    """The runs of a machine that does not have the log's own: another's stand in their place."""
    log = losses(claim, seed, own, "")
    others = [losses(claim, seed, variant, "") for variant in VARIANTS]
    foreign = [other for other in others if other != log] or [log]

    def run(variant: Variant) -> list[LogLine]:
        made = losses(claim, seed, variant, "")
        return foreign[0] if made == log else made

    return run


def steps_compared(log: list[LogLine], run: Callable[[Variant], list[LogLine]]) -> int:
    """How many steps were compared of a log that passes; 0 for one that is turned away."""
    try:
        return len(judge(log, run).steps)
    except Failed:
        return 0


def losses(claim: str, seed: int, variant: Variant, cheat: str) -> list[LogLine]:
    """The first losses of a training, as lines of its log."""
    return _losses(claim, seed, variant.name, cheat)


@cache
def _losses(claim: str, seed: int, name: str, cheat: str) -> list[LogLine]:
    variant = next(one for one in VARIANTS if one.name == name)
    environment = {name: value for name, value in os.environ.items() if name not in (*PORTABLE, OVERRULES)}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(variant.threads))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--train", claim, str(seed), cheat],
        env={**environment, **threads, **variant.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    values = json.loads(done.stdout.splitlines()[-1])
    return [LogLine(step, float(step), None, {"loss": Figure(value)}) for step, value in enumerate(values, 1)]


def train(name: str, seed: int, cheat: str) -> list[float]:
    """In a process of its own: the losses of the first steps."""
    prepare()
    import numpy as np

    from fuxian.papers.find import find_claim
    from fuxian.recipe import map_tree
    from fuxian.submission.recipe_commands import PERTURBATION_VARIABLE, perturbed
    from fuxian.training.batches import batches
    from fuxian.training.fit import build

    if cheat == "another seed":
        seed += 1000
    folder, claim = find_claim(name)
    made = folder.recipe(claim, seed=seed, iterations=claim.iterations, eval_split="validation")
    if PERTURBATION_VARIABLE in os.environ:
        made = perturbed(made, float(os.environ[PERTURBATION_VARIABLE]))
    if cheat in RATES:
        made = replace(made, optimizer=_at_another_rate(made.optimizer, RATES[cheat]))
    trainer = build(made, seed)
    trainer.model.train()
    drawn = batches(made, seed=seed, start=0, stop=STEPS)
    given = [batch for batch, _ in drawn]
    if cheat == "another order":
        given = [*given[1:], given[0]]
    if cheat == "other data":
        noise = np.random.default_rng(0)
        given = [
            {
                **batch,
                "inputs": map_tree(
                    lambda array: (
                        array + (0.1 * array.std() * noise.standard_normal(array.shape)).astype(array.dtype)
                        if array.dtype.kind == "f"
                        else array
                    ),
                    batch["inputs"],
                ),
            }
            for batch in given
        ]
    return [float(trainer.step(batch)["total"]) for batch in given]


def _at_another_rate(optimizer: Callable, factor: float) -> Callable:
    def made(model):
        built, schedule = optimizer(model)
        if schedule is None:
            built.set_lr(built.get_lr() * factor)
        else:
            schedule.base_lr *= factor
            schedule.last_lr *= factor
        return built, schedule

    return made


if __name__ == "__main__":
    main()
