"""``fuxian align watch``: one document a save, and a clean end."""

import json
import signal
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

NET = """
from {framework} import nn


class Net(nn.{base}):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return nn.functional.relu(self.head(x))
"""
RECIPE = """
import numpy as np
from fuxian import Recipe
from {net} import Net


def recipe():
    x = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    return Recipe(model=Net, eval_data=lambda: [{{"inputs": (x,), "targets": ()}}])
"""


def test_each_save_is_a_run_and_ctrl_c_ends_it(tmp_path):
    right = NET.format(framework="paddle", base="Layer")
    net = tmp_path / "ours.py"
    net.write_text(right.replace("relu", "silu"))
    (tmp_path / "theirs.py").write_text(NET.format(framework="torch", base="Module"))
    for name, module in (("port", "ours"), ("reference", "theirs")):
        (tmp_path / f"{name}.py").write_text(RECIPE.format(net=module))
    command = ["-m", "fuxian.cli.main", "align", "watch", "port.py", "reference.py"]
    process = subprocess.Popen(
        [sys.executable, *command, "--stages", "forward", "--json"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    try:
        said = []

        def after(text=None):
            if text is not None:
                net.write_text(text)
            document = json.loads(process.stdout.readline())
            line = ""
            while "Ctrl-C ends it" not in line:  # Only then are the files looked at.
                line = process.stderr.readline()
                said.append(line)
            return document

        first = after()["first_divergence"]
        assert (first["cause"], first["line"].rpartition("/")[2]) == ("activation", "ours.py:11")
        assert "ours.py:13" in after("#\n" + right + "(\n")["error"]
        assert after(right)["verdict"] == "aligned"
        diverged = after(right.replace("relu", "tanh"))["first_divergence"]
        assert "tanh" in diverged["evidence"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert "stopped watching" in process.stderr.read()
    finally:
        process.kill()
    assert all("watching 4 files" in line for line in said if "watching" in line), said


def test_what_cannot_be_watched_is_said(fuxian, tmp_path):
    (tmp_path / "port.py").write_text("")
    code, _, said = fuxian("align", "watch", tmp_path / "port.py", "some.module:recipe")
    assert code == 2 and "no recipe file that could be watched" in said
