"""What the shipped logs say of the first steps is what the code gives today, on whatever processor this is.

A change that moves a bit of a paper's training makes its log, and every ruling on it, worthless.
"""

import os
import subprocess
import sys
from importlib.resources import as_file, files

import pytest

from fuxian.training.log import read_log
from fuxian.training.numeric_mode import OVERRULES, PORTABLE

SHIPPED = (
    "arcface/lfw-folds",
    "dmr/movielens",
    "portraitnet/portraits",
    "psenet/ic15-own-split",
    "sparse-rcnn/bccd",
)
STEPS = 3
FIRST_STEPS = """
import sys
from pathlib import Path
from fuxian.training.machine import prepare
from fuxian.training.numeric_mode import make_portable
make_portable()
prepare()
from fuxian.papers.find import find_claim
from fuxian.training.fit import Length, fit
name, seed, steps, out = sys.argv[1:]
folder, claim = find_claim(name)
recipe = folder.recipe(claim, seed=int(seed), iterations=claim.iterations, eval_split="validation")
fit(recipe, Path(out), seed=int(seed), length=Length(iterations=int(steps)))
"""


@pytest.mark.parametrize("name", SHIPPED)
def test_the_first_steps_are_those_of_the_shipped_log(name, data_root, tmp_path):
    paper, claim = name.split("/")
    with as_file(files("fuxian.papers") / paper.replace("-", "_") / "weights" / f"{claim}.run") as run:
        logged = read_log(run / "log.jsonl")
    environment = {name: value for name, value in os.environ.items() if name not in (*PORTABLE, OVERRULES)}
    subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-c", FIRST_STEPS),
            *(name, str(logged[0]["seed"]), str(STEPS), str(tmp_path / "run")),
        ],
        env={**environment, "FUXIAN_DATA": str(data_root)},
        check=True,
        capture_output=True,
    )
    made = read_log(tmp_path / "run" / "log.jsonl")
    assert logged[0]["numeric_mode"] == made[0]["numeric_mode"] == "portable"
    assert made[0]["state"] == logged[0]["state"]
    first = [line for line in logged if "loss" in line][:STEPS]
    assert [line["loss"] for line in made if "loss" in line] == [line["loss"] for line in first]
