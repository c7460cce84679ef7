import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from fuxian.cli.weights import app
from fuxian.errors import InputError
from fuxian.weights import load_tensors, save_tensors

PORT = """
import paddle
from fuxian import Recipe
recipe = lambda: Recipe(model=lambda: paddle.nn.Sequential(("fc", paddle.nn.Linear(4, 4))))
"""
REFERENCE = """
import torch
from fuxian import Recipe
recipe = lambda: Recipe(model=lambda: torch.nn.Sequential(torch.nn.Linear(4, 4)))
"""


def run(*arguments):
    """The command's result; an error of Fuxian is raised, as the main command turns it into a sentence."""
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def document(*arguments):
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "port.py").write_text(PORT)
    (tmp_path / "reference.py").write_text(REFERENCE)
    weight = np.arange(16, dtype=np.float32).reshape(4, 4)
    save_tensors(tmp_path / "theirs.safetensors", {"0.weight": weight, "0.bias": np.zeros(4, np.float32)})
    return tmp_path


def test_a_state_dict_becomes_the_ports_by_the_ports_classes(files):
    made = document(
        "convert", files / "theirs.safetensors", files / "ours.pdparams", "--port", files / "port.py"
    )
    assert {link["port"]: link["transform"] for link in made["links"]} == {
        "fc.weight": "transpose",
        "fc.bias": "identity",
    }
    theirs, ours = load_tensors(files / "theirs.safetensors"), load_tensors(files / "ours.pdparams")
    np.testing.assert_array_equal(ours["fc.weight"], theirs["0.weight"].T)


def test_both_recipes_there_and_back_by_the_saved_plan(files):
    pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    both = ("--port", files / "port.py", "--reference", files / "reference.py")
    result = run(
        "convert",
        files / "theirs.safetensors",
        files / "ours.pdparams",
        *both,
        "--save-plan",
        files / "p.json",
    )
    assert "2 tensors" in result.stdout
    code = (
        "import sys; from fuxian.cli.weights import app; app(sys.argv[1:], standalone_mode=False);"
        "assert not {'paddle', 'torch'} & set(sys.modules)"
    )
    back = ("convert", files / "ours.pdparams", files / "back.safetensors", "--plan", files / "p.json")
    subprocess.run([sys.executable, "-c", code, *map(str, back), "--to", "reference"], check=True)
    assert run("diff", files / "theirs.safetensors", files / "back.safetensors").exit_code == 0


def test_nothing_is_written_when_a_tensor_has_no_place(files):
    tensors = load_tensors(files / "theirs.safetensors")
    save_tensors(files / "more.safetensors", {**tensors, "1.weight": np.ones(3)})
    with pytest.raises(InputError, match=r"no place for the reference's .*1\.weight"):
        run("convert", files / "more.safetensors", files / "out.pdparams", "--port", files / "port.py")
    assert not (files / "out.pdparams").exists()


def test_what_the_command_needs_is_said(files):
    source, target = files / "theirs.safetensors", files / "out.pdparams"
    for more, words in (
        (("--port", files / "port.py", "--to", "reference"), "--reference"),
        (("--plan", files / "p.json", "--port", files / "port.py"), "leave out"),
        (("--plan", files / "p.json"), "plan cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            run("convert", source, target, *more)


def test_diff_exits_1_and_names_what_differs(files):
    tensors = dict(load_tensors(files / "theirs.safetensors"))
    tensors["0.bias"] = tensors["0.bias"] + np.float32(0.5)
    save_tensors(files / "other.safetensors", {**tensors, "extra": np.ones(1)})
    result = run("diff", files / "theirs.safetensors", files / "other.safetensors", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["equal"], found["only_first"], found["only_second"]) == (False, [], ["extra"])
    errors = {row["name"]: (row["max_abs"], row["equal"]) for row in found["tensors"]}
    assert errors == {"0.bias": (0.5, False), "0.weight": (0.0, True)}
    shown = run("diff", files / "theirs.safetensors", files / "other.safetensors")
    assert shown.exit_code == 1
    assert "0.bias" in shown.stdout
    assert "0.weight" not in shown.stdout
    assert document("diff", files / "theirs.safetensors", files / "theirs.safetensors")["equal"]


def test_inspect_warns_of_nan_and_prints_hostile_names_plainly(files):
    save_tensors(files / "sick.safetensors", {"[red]\x1b[31mw": np.array([1.0, np.nan])})
    result = run("inspect", files / "sick.safetensors")
    assert "Warning: 1 tensors hold NaN" in result.stderr
    assert "[red]" in result.stdout
    assert "\x1b" not in result.output
    made = document("inspect", files / "sick.safetensors")
    assert (made["elements"], made["tensors"][0]["nan"], len(made["warnings"])) == (2, 1, 1)


def test_inspect_fits_a_narrow_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    weight = np.full((64, 32, 3, 3), -0.00123456, np.float32)
    save_tensors(tmp_path / "w.safetensors", {"features.3.conv.weight": weight})
    shown = run("inspect", tmp_path / "w.safetensors").stdout
    assert "features.3.conv.weight  64x32x3x3  float32  -0.00123" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_dropped_for_one_reason_is_told_once(tmp_path):
    (tmp_path / "port.py").write_text(
        "import paddle\nfrom fuxian import Recipe\n"
        "recipe = lambda: Recipe(model=lambda: paddle.nn.Sequential(*[paddle.nn.BatchNorm1D(2) for _ in range(6)]))"
    )
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = {f"{i}.{name}": np.ones(2, np.float32) for i in range(6) for name in names}
    counters = {f"{i}.num_batches_tracked": np.array(7) for i in range(6)}
    save_tensors(tmp_path / "w.safetensors", tensors | counters)
    both = (tmp_path / "w.safetensors", tmp_path / "w.pdparams", "--port", tmp_path / "port.py")
    shown = run("convert", *both).stdout
    assert shown.count("  dropped: ") == 1
    assert "3.num_batches_tracked and 2 more (" in shown
    assert set(document("convert", *both)["dropped"]) == set(counters)


@pytest.mark.parametrize("command", ["convert", "diff", "inspect"])
def test_help_shows_an_example(command):
    assert f"Example: fuxian weights {command}" in run(command, "--help").stdout


def test_without_a_model_the_bare_tensors_are_saved_again(files):
    for name in ("again.npz", "again.pdparams", "again.safetensors"):
        done = run("convert", files / "theirs.safetensors", files / name).output
        assert "no model was given" in done
        again, before = load_tensors(files / name), load_tensors(files / "theirs.safetensors")
        assert again.keys() == before.keys()
        assert all(np.array_equal(again[key], before[key]) for key in before)
