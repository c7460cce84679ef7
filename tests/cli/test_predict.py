import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fuxian.cli.predict import predict
from fuxian.errors import InputError
from fuxian.papers import shelf
from fuxian.weights import save_tensors

SHAPES = {"w1": (1, 40), "b1": (40,), "w2": (40, 40), "b2": (40,), "w3": (40, 1), "b3": (1,)}

app = typer.Typer()
app.command()(predict)


def run(*arguments):
    """The command's result; an error of Fuxian is raised, as the main command turns it into a sentence."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def sinusoid(tmp_path):
    """The arguments of a prediction at two numbers."""
    (tmp_path / "support.csv").write_text("x,y\n0,0\n1,1\n")
    (tmp_path / "query.csv").write_text("x\n0.25\n2\n")
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    save_tensors(tmp_path / "weights.safetensors", tensors)
    return ["maml/sinusoid-10shot", tmp_path, "--weights", tmp_path / "weights.safetensors"]


def test_json_is_one_document_and_is_written_to_the_file_too(sinusoid, tmp_path):
    result = run(*sinusoid, "--steps", 2, "--json", "--out", tmp_path / "out.json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "out.json").read_text())
    assert (document["paper"], document["claim"], document["steps"]) == ("maml", "sinusoid-10shot", 2)
    assert document["weights"] == str(tmp_path / "weights.safetensors")
    assert [one["x"] for one in document["predictions"]] == [0.25, 2.0]


def test_the_table_has_a_line_for_each_prediction(sinusoid):
    result = run(*sinusoid)
    assert result.exit_code == 0
    assert "0.2500" in result.stdout
    assert "2.0000" in result.stdout


def test_names_are_printed_as_they_are(sinusoid, monkeypatch):
    """Labels that look like rich's markup, or like a column of the table."""

    class Part:
        @staticmethod
        def predict(_claim, _folder, _weights, *, steps):
            assert steps is None
            row = {
                "picture": "[bold]x.png",
                "label": "[red]",
                "probabilities": {"[red]": 0.75, "label": 0.25},
            }
            return {"predictions": [row]}

    monkeypatch.setattr(shelf, "part", lambda _paper, _name: Part)
    words = run(*sinusoid).stdout.split()
    assert words.count("[red]") == 2
    assert words.count("label") == 2
    assert {"[bold]x.png", "0.7500", "0.2500"} <= set(words)


def test_a_file_that_cannot_be_written_is_bad_input(sinusoid, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        run(*sinusoid, "--out", tmp_path / "nowhere" / "out.json")


def test_the_help_says_that_query_pictures_are_taken_together():
    help_text = " ".join(run("--help").stdout.replace("│", " ").split())
    assert "statistics of all query pictures together" in help_text
    assert "dark ink on light paper" in help_text


def test_the_committed_weights_are_used_where_no_others_are_given(sinusoid, monkeypatch):
    monkeypatch.setattr(shelf, "committed_weights", lambda _paper, _claim: Path(sinusoid[3]))
    assert json.loads(run(*sinusoid[:2], "--json").stdout)["weights"] == str(sinusoid[3])
