"""A detector with ragged boxes, two optimizers, a moving average and 60 MB of weights goes through every command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).with_name("toy_detector")
FUXIAN = Path(sys.executable).with_name("fuxian")
MANIFEST = """\
paper = "paper.toml"
claims = ["boxes"]
recipe = "recipe.py"

[reference]
run = ["python", "reference/run.py"]
pattern = 'ap50: (?P<ap50>[-0-9.]+)'
recipe = "reference/recipe.py"

[team]
name = "The makers of Fuxian"
number = "7"
repo = "https://github.com/fuxian/toy-detector"
members = ["A maker"]
email = "makers@fuxian.example"
"""


def fuxian(*words, folder, exit_code=0):
    """What a command prints with --json."""
    done = subprocess.run(
        [FUXIAN, *map(str, words), "--json"],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
        cwd=folder,
        env=os.environ | {"FUXIAN_RUNS": str(folder / "runs")},
    )
    assert done.returncode == exit_code, f"fuxian {words}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return json.loads(done.stdout)


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: verify needs its sandbox")
def test_from_new_to_package(tmp_path):
    detector = tmp_path / "toy-detector"
    fuxian("new", detector, folder=tmp_path)
    # As docs/submit.md says: what the template made of its own task goes when the paper's own comes.
    for made in (
        "lite_data",
        "test_tipc",
        "submission",
        "logs",
        "weights",
        "results",
        "checkpoints",
        "tests",
    ):
        shutil.rmtree(detector / made)
    for made in detector.glob("*.ipynb"):
        made.unlink()
    shutil.copytree(FILES, detector, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (detector / "fuxian.toml").write_text(MANIFEST)
    of_the_reference = detector / "reference" / "run.py"
    of_the_reference.write_text(
        of_the_reference.read_text().replace(
            "https://example.org: the repository of the reference", "none: a toy"
        )
    )

    trained = fuxian("train", detector, "--processes", 2, folder=tmp_path)
    run = Path(trained["run"])
    assert json.loads((run / "config.json").read_text())["processes"] == 2
    weights = Path(trained["weights"]["0"])
    assert weights.name == "evaluated.safetensors" and weights.stat().st_size > 55e6
    measured = fuxian("evaluate", detector, "--run", run, folder=tmp_path)
    assert measured["verdict"] == "accepted" and 0.2 < measured["measured"]["value"] < 1

    aligned = fuxian(
        "align", "run", detector / "recipe.py", detector / "reference" / "recipe.py", folder=tmp_path
    )
    judged = {stage["stage"]: stage["verdict"] for stage in aligned["stages"]}
    assert {"forward", "loss", "backward", "optimizer"} <= {n for n, v in judged.items() if v == "aligned"}, (
        judged
    )

    for source, target in (
        (run / "log.jsonl", "logs/boxes.jsonl"),
        (weights, "weights/boxes.safetensors"),
        (run / "measurements.json", "results/boxes/measurements.json"),
        (run / "measurements.safetensors", "results/boxes/measurements.safetensors"),
        (run / "environment.json", "results/boxes/environment.json"),
    ):
        (detector / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, detector / target)
    package = tmp_path / "package"
    fuxian("package", detector, "--out", package, folder=tmp_path)
    ruled = fuxian("verify", package, folder=tmp_path)
    assert ruled["verdict"] == "accepted"
