"""Run folders to report on: small, but with every file that training writes."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuxian.paper import Paper, load_paper
from fuxian.verdict import Measurements, Run, rule

PAPER = """
id = "maml"
title = "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks"
authors = ["Chelsea Finn", "Pieter Abbeel", "Sergey Levine"]
venue = "ICML"
year = 2017
url = "https://arxiv.org/abs/1703.03400"

[[claim]]
id = "omniglot-5way-1shot"
title = "Omniglot, 5-way 1-shot classification"
dataset = "Omniglot"
split = "1200 characters for training, 423 for test"
metric = "accuracy"
unit = "accuracy"
display = "percent"
direction = "higher"
scope = "paper"
subject = "weights"
published = { value = 0.987, half_width = 0.004, source = "Table 1" }
checkpoint = "last"
seeds = [0]
iterations = 60000

[[claim]]
id = "sinusoid-10shot"
title = "Sinusoid regression, 10-shot"
dataset = "sinusoids"
split = "600 fresh tasks"
metric = "mse"
unit = "mean squared error"
direction = "lower"
scope = "paper"
subject = "procedure"
target = 0.41
margin = 0.02
margin_reason = "a twentieth of the target"
checkpoint = "last"
seeds = [0, 1, 2]
iterations = 70000

[[claim]]
id = "omniglot-small"
title = "Omniglot with a smaller network"
dataset = "Omniglot"
split = "1200 characters for training, 423 for test"
metric = "accuracy"
unit = "accuracy"
display = "percent"
direction = "higher"
scope = "scaled"
subject = "weights"
target = 0.95
margin = 0.01
checkpoint = "last"
seeds = [0]
iterations = 1000

[[claim]]
id = "sinusoid-reference"
title = "Sinusoid regression against the official code"
dataset = "sinusoids"
split = "600 fresh tasks"
metric = "mse"
unit = "mean squared error"
direction = "lower"
scope = "paper"
subject = "procedure"
reference = { file = "runs.json" }
checkpoint = "last"
seeds = [0, 1, 2]
iterations = 70000
"""

REFERENCE = {
    "repo": "https://github.com/cbfinn/maml",
    "commit": "a7f45f1",
    "command": "python main.py",
    "metric": "mse",
    "values": [{"seed": seed, "value": value} for seed, value in enumerate((0.39, 0.41, 0.42, 0.40))],
}


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    path = tmp_path / "paper.toml"
    path.write_text(PAPER, encoding="utf-8")
    write_json(tmp_path / "runs.json", REFERENCE)
    return load_paper(path)


@pytest.fixture
def make_run(tmp_path: Path, paper: Paper) -> Callable[..., Path]:
    """make_run(claim, values, ...) writes a whole run folder and returns it.

    `values` are one figure per seed, or per test example where the claim is about weights; the verdict is
    what `fuxian.verdict.rule` makes of them. Without `log` the log is empty, and there are no curves to draw.
    """

    def make(
        claim_id: str = "sinusoid-10shot",
        values: tuple[float, ...] = (0.40, 0.41, 0.405),
        *,
        seed: int = 0,
        folder: str | None = None,
        curves: dict[str, Any] | None = None,
        log: bool = False,
    ) -> Path:
        claim = paper.claim(claim_id)
        run = tmp_path / (folder or f"{claim_id}-{seed}")
        (run / "vdl").mkdir(parents=True)
        names = {"paper": "maml", "claim": claim_id}
        if claim.subject == "weights":
            runs = (Run(seed, sum(values) / len(values), values),)
        else:
            runs = tuple(Run(number, value) for number, value in enumerate(values))
        measurements = Measurements(runs)
        ruling = rule(claim, measurements).as_dict()
        measured = {key: ruling[key] for key in ("value", "low", "high", "n")}
        write_json(
            run / "config.json",
            {
                **names,
                "seed": seed,
                "iterations": 2000,
                "command": ["fuxian", "reproduce", f"maml/{claim_id}"],
            },
        )
        write_json(
            run / "environment.json",
            {
                "python": "3.11.2",
                "paddle": "3.3.1",
                "threads": 2,
                "flags": {"FLAGS_cpu_deterministic": True},
                "cpu": "a processor",
                "git": {"commit": "0123456789abcdef"},
            },
        )
        with (run / "log.jsonl").open("w", encoding="utf-8") as file:
            for step in range(50, 2001, 50) if log else ():
                line: dict[str, Any] = {
                    "step": step,
                    "loss": 4 * math.exp(-step / 400) + 0.4 + 0.05 * math.sin(step + seed),
                    "lr": 0.001,
                    "reader_cost": 0.002,
                    "batch_cost": 0.02,
                    "ips": 1250.0 + seed,
                }
                file.write(json.dumps(line) + "\n")
                if step % 500 == 0:
                    file.write(json.dumps({"step": step, "eval": {claim.metric: 0.5 + 200 / step}}) + "\n")
        write_json(
            run / "measurements.json",
            {
                **names,
                "scope": claim.scope,
                "metric": claim.metric,
                **measurements.as_dict(),
                "curves": curves or {},
                "figures": {"without adaptation": 3.2},
            },
        )
        write_json(run / "verdict.json", {**names, "scope": claim.scope, "measured": measured, **ruling})
        return run

    return make
