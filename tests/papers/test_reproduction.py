"""``fuxian.reproduce`` and the command of that name on a folder of one's own."""

import json
import threading
from pathlib import Path

import pytest

import fuxian
from fuxian.errors import InputError, Stopped

PAPER = """
id = "line"
title = "A line"
authors = ["A"]
venue = "none"
year = 2026
url = "https://example.org/line"

[[claim]]
id = "slope"
title = "Slope"
dataset = "numbers"
split = "test"
metric = "error"
unit = "error"
direction = "lower"
scope = "scaled"
subject = "procedure"
target = 0.5
margin = 0.2
checkpoint = "last"
seeds = [0, 1]
iterations = 40
checkpoint_every = 10
evaluate_every = 20
log_every = 10
"""
RECIPE = """
import numpy as np
import paddle
from fuxian import Recipe
from fuxian.metrics import Mean
from numbers_of_mine import batches

def recipe(claim="slope", *, seed=0, iterations=40, eval_split="test", rate=0.05):
    return Recipe(
        model=lambda: paddle.nn.Linear(1, 1),
        train_data=lambda: batches(iterations, seed),
        eval_data=lambda: batches(4, 10**6),
        loss=lambda outputs, targets: ((outputs - targets[0]) ** 2).mean(),
        optimizer=lambda model: (paddle.optimizer.SGD(rate, parameters=model.parameters()), None),
        metric=lambda: Mean(lambda outputs, targets, meta: {"error": np.abs(outputs - targets[0])[:, 0]}),
    )
"""
NUMBERS = """
import numpy as np

def batches(count, stream):
    made = []
    for index in range(count):
        x = np.random.default_rng((stream, index)).normal(size=(16, 1)).astype(np.float32)
        made.append({"inputs": (x,), "targets": (2 * x,)})
    return made
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my-line"
    folder.mkdir()
    (folder / "paper.toml").write_text(PAPER)
    (folder / "recipe.py").write_text(RECIPE)
    (folder / "numbers_of_mine.py").write_text(NUMBERS)
    return folder


def test_a_folder_is_reproduced_with_events_and_the_ruling_reads_back(folder, tmp_path):
    heard = []
    made = fuxian.reproduce(folder, out=tmp_path / "runs", listener=heard.append)
    assert made["verdict"] in ("accepted", "rejected", "inconclusive")
    assert json.loads((Path(made["run"]) / "verdict.json").read_text()) == made
    assert Path(made["report"]).is_file()
    assert list(dict.fromkeys(event.command for event in heard)) == [
        "training, seed 0 (1 of 2)",
        "training, seed 1 (2 of 2)",
        "testing, seed 0",
        "testing, seed 1",
    ]
    assert {event.step for event in heard} == {"train", "test"}
    seconds = [event.seconds for event in heard]
    assert seconds == sorted(seconds) and seconds[0] >= 0
    fractions = [event.fraction for event in heard if event.command == "testing, seed 1"]
    assert fractions == [0.25, 0.5, 0.75, 1.0]
    assert any("loss" in event.figures for event in heard)


def test_a_cancelled_run_goes_on_where_it_stopped_and_ends_as_if_it_had_not(folder, tmp_path):
    cancel = threading.Event()

    def listener(event):
        if event.command.startswith("training, seed 1") and event.done == 25:
            cancel.set()

    with pytest.raises(Stopped, match=r"cancelled in training, seed 1"):
        fuxian.reproduce(folder, out=tmp_path / "runs", listener=listener, cancel=cancel)
    (run,) = (tmp_path / "runs").iterdir()
    assert not (run / "verdict.json").exists()
    heard = []
    resumed = fuxian.reproduce(folder, resume=run, listener=heard.append)
    assert min(event.done for event in heard if event.command.startswith("training, seed 1")) == 21
    whole = fuxian.reproduce(folder, out=tmp_path / "whole")
    assert resumed["measured"] == whole["measured"]


def test_a_changed_setting_changes_the_run_and_rules_on_nothing(folder, tmp_path):
    made = fuxian.reproduce(folder, seeds=1, settings={"rate": 0.0}, out=tmp_path / "runs")
    assert made["verdict"] == "changed"
    config = json.loads((Path(made["run"]) / "config.json").read_text())
    assert config["settings"] == {"rate": 0.0} and "--set rate=0.0" in config["command"]
    again = fuxian.reproduce(folder, resume=Path(made["run"]))
    assert again["measured"] == made["measured"] and again["verdict"] == "changed"
    with pytest.raises(InputError, match="no setting 'depth'; it has: rate"):
        fuxian.reproduce(folder, settings={"depth": 3}, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
