"""``fuxian align run --mend``: the diff makes the port agree, nothing else is touched, and no cause is guessed at."""

import dataclasses
import json
import subprocess

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

from fuxian.align import align
from fuxian.align.mend import mend
from fuxian.cli.align import app

REFERENCE = """
import numpy as np
import torch
from torch import nn
from fuxian import Recipe


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norms = nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4, eps=1e-3))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = nn.functional.avg_pool2d(self.norms[0](self.first(x)), 3, 2, padding=1)
        x = nn.functional.relu(self.norms[1](self.second(x)))
        return self.head(x.mean((2, 3)))


def recipe():
    rng = np.random.default_rng(0)
    batch = {"inputs": (rng.standard_normal((2, 3, 8, 8)).astype("float32"),), "targets": (np.array([0, 2]),)}
    return Recipe(
        model=Net,
        train_data=lambda: [batch] * 4,
        eval_data=lambda: [batch],
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=lambda model: (torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.5, 0.99)), None),
    )
"""
NET = """from paddle import nn
import paddle.nn.functional as F


def norm(size, epsilon=1e-5):
    return nn.BatchNorm2D(size, epsilon=epsilon)


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2D(3, 4, 3, padding=1), nn.Conv2D(4, 4, 3, padding=1)
        self.norms = nn.Sequential(norm(4), norm(4, 1e-3))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.avg_pool2d(self.norms[0](self.first(x)), 3, 2, padding=1, exclusive=False)  # as the paper pools
        x = F.relu(self.norms[1](self.second(x)))
        return self.head(x.mean((2, 3)))
"""
PORT = """import numpy as np
import paddle
from fuxian import Recipe
from net import Net


def recipe():
    rng = np.random.default_rng(0)
    batch = {"inputs": (rng.standard_normal((2, 3, 8, 8)).astype("float32"),), "targets": (np.array([0, 2]),)}

    def optimizer(model):
        return paddle.optimizer.Adam(
            1e-2,
            beta1=0.5,
            beta2=0.99,
            parameters=model.parameters(),
        ), None

    return Recipe(
        model=Net,
        train_data=lambda: [batch] * 4,
        eval_data=lambda: [batch],
        loss=lambda outputs, targets: paddle.nn.functional.cross_entropy(outputs, targets[0]),
        optimizer=optimizer,
    )
"""
STAGES = ("--stages", "forward,optimizer")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "port").mkdir()
    for name, text in (("reference.py", REFERENCE), ("port/net.py", NET), ("port/port.py", PORT)):
        (tmp_path / name).write_text(text)
    return tmp_path


def run(*more):
    arguments = ("run", "port/port.py", "reference.py", *STAGES, "--mend", "mend.diff", "--json", *more)
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "stage"),
    [
        pytest.param("net.py", ", exclusive=False)", ")", "forward", id="keyword-of-a-call"),
        pytest.param("net.py", "norm(4, 1e-3)", "norm(4)", "forward", id="argument-through-a-function"),
        pytest.param(
            "net.py", "nn.Conv2D(4, 4, 3, padding=1)", "nn.Conv2D(4, 4, 3)", "forward", id="constructor"
        ),
        pytest.param(
            "net.py", "(x.mean((2, 3)))", "(F.softmax(x.mean((2, 3))))", "forward", id="call-too-many"
        ),
        pytest.param(
            "net.py",
            "F.relu(self.norms[1](self.second(x)))",
            "self.norms[1](self.second(x))",
            "forward",
            id="call-left-out",
        ),
        pytest.param("port.py", "            beta2=0.99,\n", "", "optimizer", id="optimizer"),
    ],
)
def test_the_diff_makes_the_port_the_one_that_was_right(folder, file, right, wrong, stage):
    path = folder / "port" / file
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    broken = {p.name: p.read_text() for p in (folder / "port").glob("*.py")}
    code, said = run("--report", "report.html")
    assert code == 1
    assert said["first_divergence"]["stage"] == stage
    assert said["mend"]["path"] == "mend.diff"
    assert said["mend"]["agreed"] == f"{stage} is aligned"
    diff = (folder / "mend.diff").read_text()
    assert diff == said["mend"]["diff"]
    changed = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len([line for line in changed if line[0] == "+"]) == 1
    report = (folder / "report.html").read_text()
    assert all(f">{line.replace('&', '&amp;').split('#')[0]}".rstrip() in report for line in changed)

    assert {p.name: p.read_text() for p in (folder / "port").glob("*.py")} == broken, (
        "the port itself is left alone"
    )
    subprocess.run(["git", "apply", "../mend.diff"], cwd=folder / "port", check=True)
    if path.read_text() == text:
        return  # It is the file that was right, to the letter.
    code, said = run()
    assert (code, said["verdict"]) == (0, "aligned")
    assert said["mend"]["path"] is None and "nothing diverges" in said["mend"]["reason"]


def test_one_mistake_of_two_moves_the_divergence_on(folder):
    path = folder / "port" / "net.py"
    path.write_text(NET.replace(", exclusive=False)", ")").replace("norm(4, 1e-3)", "norm(4)"))
    _, said = run()
    assert "differs later" in said["mend"]["agreed"]
    assert "exclusive=False" in said["mend"]["diff"]
    subprocess.run(["git", "apply", "../mend.diff"], cwd=folder / "port", check=True)
    _, said = run()
    assert said["mend"]["agreed"] == "forward is aligned"


def test_where_there_is_no_mend_the_reason_is_said_and_the_exit_code_stays(folder):
    path = folder / "port" / "net.py"
    path.write_text(NET.replace("x.mean((2, 3))", "x.mean((2, 3)) ** 3 + x.max()"))
    code, said = run()
    assert code == 1
    assert said["mend"]["diff"] == "" and said["mend"]["reason"]
    assert not (folder / "mend.diff").exists()
    shown = CliRunner().invoke(app, ["run", "port/port.py", "reference.py", *STAGES, "--mend", "mend.diff"])
    assert f"no mend: {said['mend']['reason']}" in shown.stdout


def test_only_a_proven_cause_is_mended(folder, tmp_path):
    (folder / "port" / "net.py").write_text(NET.replace(", exclusive=False)", ")"))
    stages = ("forward",)
    found = align("port/port.py", "reference.py", stages=stages, folder=tmp_path / "kept")
    assert found.diagnosis.proven
    found.diagnosis = dataclasses.replace(found.diagnosis, proven=False)
    assert "only surmised" in mend("port/port.py", found, stages=stages).reason
