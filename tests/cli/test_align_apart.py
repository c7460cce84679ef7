"""A framework that ends the process ends in a sentence; what a recipe prints does not get into the document."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

RECIPE = """
import os
import numpy as np, {framework}
from fuxian import Recipe
print("a recipe that prints")
class Net({base}):
    def __init__(self):
        super().__init__()
        self.fc = {framework}.nn.Linear(3, 2)
    def forward(self, x):
        if {dies}: os.kill(os.getpid(), 11)
        return self.fc(x)
def recipe():
    return Recipe(model=Net, eval_data=lambda: [dict(inputs=(np.ones((2, 3), "float32"),))])
"""


def run(folder, dies):
    paddle = RECIPE.format(framework="paddle", base="paddle.nn.Layer", dies=dies)
    (folder / "port.py").write_text(paddle)
    (folder / "ref.py").write_text(RECIPE.format(framework="torch", base="torch.nn.Module", dies=False))
    command = [sys.executable, "-c", "from fuxian.cli.main import run; run()", "align", "run", "port.py", "ref.py",
               "--stages", "forward", "--json"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_recipe_that_prints(tmp_path):
    code, document = run(tmp_path, dies=False)
    assert (code, document["verdict"]) == (0, "aligned")


def test_a_framework_that_ends_the_process(tmp_path):
    code, document = run(tmp_path, dies=True)
    assert code == 4
    assert "ended the process (SIGSEGV)" in document["error"]
    assert "port.py:11" in document["error"]
