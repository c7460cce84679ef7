"""``fuxian align`` as it is typed: what it prints on a narrow terminal, what it refuses, its exit codes."""

import json
import threading
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

from fuxian.align import align
from fuxian.cli.align import app
from fuxian.errors import InputError, Stopped
from fuxian.weights import Overrides

PART = """
import numpy as np
import {framework} as framework
from fuxian import Recipe

class Net(framework.nn.{base}):
    def __init__(self):
        super().__init__()
        self.normalisation_of_the_input = framework.nn.BatchNorm1{d}(4)
        self.head = framework.nn.Linear(4, 3)

    def forward(self, x):
        return framework.nn.functional.{activation}(self.head(self.normalisation_of_the_input(x)))

def recipe():
    x = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    data = lambda: [{{"inputs": (x,), "targets": ()}}]
    return Recipe(model=Net, train_data=data, eval_data=data)
"""
STAGES = ("--stages", "forward,training_mode")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    port = {"framework": "paddle", "base": "Layer", "d": "D"}
    (folder / "port.py").write_text(PART.format(**port, activation="relu"))
    (folder / "broken.py").write_text(PART.format(**port, activation="silu"))
    (folder / "reference.py").write_text(
        PART.format(framework="torch", base="Module", d="d", activation="relu")
    )
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments):
    """The command's result; an error of Fuxian is raised, as the main command turns it into a sentence."""
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_a_divergence_is_told_on_80_columns_with_paths_from_here(folder):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = run("run", "broken.py", "reference.py", *STAGES, "--report", "out.html")
    assert result.exit_code == 1
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout
    assert "change broken.py:13" in result.stdout
    assert str(folder) not in result.stdout
    assert "differs first" in result.stdout
    assert not [warning for warning in said if "always track" in str(warning.message)]
    report = (folder / "out.html").read_text(encoding="utf-8")
    assert "broken.py:13" in report
    assert "reference.py:13" in report


def test_the_curve_has_a_module_after_those_in_it():
    from fuxian.align.module_table import Row
    from fuxian.align.report import _by_output

    rows = [Row(name, name, depth, 0.0, "same") for name, depth in (("m", 0), ("a", 1), ("a.0", 2), ("b", 1))]
    assert [row.port for row in _by_output(rows)] == ["a.0", "a", "b", "m"]


def test_where_all_modules_agree_their_table_is_left_out():
    result = run("run", "port.py", "reference.py", *STAGES)
    assert result.exit_code == 0
    assert "all 3 agree" in result.stdout
    assert "BatchNorm" not in result.stdout


def test_sides_that_are_swapped_are_refused():
    with pytest.raises(InputError, match=r"reference\.py is of torch and port\.py of Paddle"):
        run("run", "reference.py", "port.py", *STAGES)


def test_a_recording_says_the_precision_and_another_one_is_refused(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    run("record", "reference.py", theirs, *STAGES, "--dtype", "float32")
    assert json.loads(run("run", "port.py", theirs, *STAGES, "--json").stdout)["dtype"] == "float32"
    run("record", "port.py", ours, "--inputs", theirs, *STAGES)
    assert json.loads((ours / "recording.json").read_text())["dtype"] == "float32"
    for command in (("run", "port.py", theirs), ("record", "port.py", tmp_path / "no", "--inputs", theirs)):
        with pytest.raises(InputError, match="was recorded in float32"):
            run(*command, *STAGES, "--dtype", "float64")
    shown = run("export-log", tmp_path / "log", "--port", ours, "--reference", theirs).stdout
    assert "forward_diff.log: diff check passed" in shown.replace("\n", "")


def test_logs_that_cannot_be_compared_are_told(tmp_path):
    np.save(tmp_path / "ours.npy", {"x": np.ones(3)})
    np.save(tmp_path / "theirs.npy", {"x": np.ones(4), "y": np.ones(1)})
    result = run("import-log", tmp_path / "ours.npy", tmp_path / "theirs.npy")
    assert result.exit_code == 1
    assert "x: DIFFERS shape (3,) instead of (4,)" in result.stdout
    assert "y: DIFFERS missing in the port" in result.stdout


SQUARE = """
import numpy as np
import {framework}
from fuxian import Recipe

class Own({base}):
    def __init__(self):
        super().__init__()
        self.w = {weight}

    def forward(self, x):
        return x @ {used}

def recipe():
    return Recipe(model=Own, eval_data=lambda: [{{"inputs": (np.eye(4, dtype="float32"),), "targets": ()}}])
"""


def test_a_mapping_file_says_what_no_class_does(tmp_path):
    paddles = {"framework": "paddle", "base": "paddle.nn.Layer", "used": "self.w"}
    torchs = {"framework": "torch", "base": "torch.nn.Module", "used": "self.w.T"}
    (tmp_path / "ours.py").write_text(SQUARE.format(**paddles, weight="self.create_parameter([4, 4])"))
    (tmp_path / "theirs.py").write_text(
        SQUARE.format(**torchs, weight="torch.nn.Parameter(torch.randn(4, 4))")
    )
    (tmp_path / "pairs.toml").write_text('[tensors]\n"w" = { from = "w", transform = "transpose" }\n')
    both = (tmp_path / "ours.py", tmp_path / "theirs.py", "--stages", "forward", "--json")
    assert json.loads(run("run", *both).stdout)["verdict"] == "diverged"
    assert json.loads(run("run", *both, "--map", tmp_path / "pairs.toml").stdout)["verdict"] == "aligned"
    with pytest.raises(InputError, match="--inputs"):
        run("record", tmp_path / "ours.py", tmp_path / "out", "--map", tmp_path / "pairs.toml")
    (tmp_path / "pairs.toml").write_text('[tensors]\n"v" = "w"\n')
    with pytest.raises(InputError, match="v"):
        run("run", *both, "--map", tmp_path / "pairs.toml")


@pytest.mark.parametrize("port", ["port.py", "broken.py"])
def test_the_command_and_the_door_for_programs_give_one_document(fuxian, port):
    """With every stage, as a user runs it; bools and numbers of numpy, NaN and infinities included."""
    code, out, err = fuxian("align", "run", port, "reference.py", "--json")
    document = json.loads(out)
    assert code == {"aligned": 0, "diverged": 1, "inconclusive": 3}[document["verdict"]], err
    heard = []
    made = align(port, "reference.py", listener=heard.append)
    assert json.loads(json.dumps(made.as_dict(), allow_nan=False)) == made.as_dict()
    same = ("verdict", "first_divergence", "dtype")
    assert {name: made.as_dict()[name] for name in same} == {name: document[name] for name in same}
    commands = [event.command for event in heard]
    assert commands[:2] == ["recording the reference in float64", "recording the port"]
    assert ("looking for the cause" in commands) == (made.verdict == "diverged")


def test_the_door_takes_a_recording_of_float32_and_overrides_and_is_cancelled(folder, tmp_path):
    run("record", "reference.py", tmp_path / "recorded", "--dtype", "float32", "--stages", "forward")
    made = align("port.py", str(tmp_path / "recorded"), stages=("forward",), overrides=Overrides())
    assert (made.verdict, made.as_dict()["dtype"]) == ("aligned", "float32")
    cancel = threading.Event()
    with pytest.raises(Stopped, match="cancelled in recording the port"):
        align(
            "port.py", "reference.py", stages=("forward",), cancel=cancel, listener=lambda event: cancel.set()
        )
