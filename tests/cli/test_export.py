import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fuxian.cli.export import export
from fuxian.papers import exporting
from fuxian.weights import save_tensors

SHAPES = {"w1": (1, 40), "b1": (40,), "w2": (40, 40), "b2": (40,), "w3": (40, 1), "b3": (1,)}

app = typer.Typer()
app.command()(export)


def run(*arguments):
    """The command's result; an error of Fuxian is raised, as the main command turns it into a sentence."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def sinusoid(tmp_path):
    """The arguments of an export."""
    (tmp_path / "support.csv").write_text("x,y\n0,0\n1,1\n")
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    save_tensors(tmp_path / "weights.safetensors", tensors)
    weights = tmp_path / "weights.safetensors"
    return ["maml/sinusoid-10shot", tmp_path, "--weights", weights, "--out", tmp_path / "out"]


def test_the_network_is_written_by_a_child_that_imports_nothing_from_here(sinusoid, tmp_path, monkeypatch):
    for module in ("paddle", "json", "fuxian"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    result = run(*sinusoid, "--steps", 2, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert (document["paper"], document["claim"], document["steps"]) == ("maml", "sinusoid-10shot", 2)
    assert document["out"] == str(tmp_path / "out")
    assert document["max_difference"] < 1e-4
    assert document["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert document["files"] == ["model.json", "model.pdiparams"]


def test_what_was_written_is_said(sinusoid, tmp_path, monkeypatch):
    made = {"files": ["model.json"], "max_difference": 2e-6}
    monkeypatch.setattr(exporting, "export", lambda *_arguments, **_options: made)
    result = run(*sinusoid)
    assert result.exit_code == 0
    assert f"Exported: {tmp_path / 'out'} (model.json)" in result.stdout
    assert "2.0e-06" in result.stdout
