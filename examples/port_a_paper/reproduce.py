"""Trains the port with the claim's seeds, evaluates it and rules on the claim.

python reproduce.py RUN

RUN is a new folder for the run, or that of an interrupted one, which then goes on.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from fuxian.paper import load_paper
from fuxian.training.machine import prepare
from fuxian.verdict import Measurements, measured_run, write_measurements

HERE = Path(__file__).parent


def main(run: Path) -> None:
    prepare()
    sys.path.insert(0, str(HERE))
    # These import Paddle, which must find what prepare() has set.
    from paddle_recipe import recipe

    from fuxian.papers.reproduction import conclude
    from fuxian.training import environment
    from fuxian.training.evaluate import evaluate
    from fuxian.training.fit import Length, fit

    paper = load_paper(HERE)
    claim = paper.claim("textures")
    length = Length(
        iterations=claim.iterations, log_every=claim.log_every, checkpoint_every=claim.checkpoint_every
    )
    named = {"paper": paper.id, "claim": claim.id, "scope": claim.scope}
    command = shlex.join(["python", *sys.argv])
    write(run / "config.json", named | {"seeds": claim.seeds, "command": command})
    write(run / "environment.json", environment.describe())

    measured, parts = [], []
    for seed in claim.seeds:
        parts.append(run / f"seed_{seed}")
        write(parts[-1] / "config.json", named | {"seed": seed, "command": command})
        model = fit(recipe(seed=seed, iterations=claim.iterations), parts[-1], seed=seed, length=length)
        found = evaluate(recipe(eval_split="test"), model)
        measured.append(measured_run(claim, seed, found.figures, found.units))
        print(f"seed {seed}: {claim.show(measured[-1].value)}", flush=True)
    measurements = Measurements(tuple(measured))
    write_measurements(run / "measurements.json", measurements, named | {"metric": claim.metric})

    ruling = conclude(paper, claim, measurements, run, quick=False, lang="en", parts=parts)
    print(f"{ruling['verdict']}: {ruling['reason']}\n{ruling['report']}")


def write(file: Path, document: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
