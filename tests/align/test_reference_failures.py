"""A reference that raises in one stage leaves that stage undecided; the others are judged."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")
sys.path.insert(0, str(Path(__file__).parent))

import pairs
from typer.testing import CliRunner

from fuxian.align import align
from fuxian.cli.main import app
from fuxian.errors import InputError

STAGES = ("loss", "training_steps")


def failing_on_two_examples():
    """The reference, whose loss cannot take its last batch of two."""
    reference = pairs.reference()

    def loss(outputs, targets):
        if len(outputs) == 2:
            raise ValueError("Expected more than 2 values per channel")
        return reference.loss(outputs, targets)

    return replace(reference, loss=loss)


def test_the_stage_in_which_the_reference_raises_is_inconclusive_and_says_why():
    found = align(pairs.port(), failing_on_two_examples(), stages=STAGES)
    assert {r.stage: r.verdict for r in found.stages} == {"loss": "aligned", "training_steps": "inconclusive"}
    assert found.verdict == "inconclusive" and found.first is None
    assert "Expected more than 2 values" in found.stage("training_steps").notes[0]
    assert any("training_steps is inconclusive: the reference itself raised" in note for note in found.notes)


def test_a_divergence_in_another_stage_is_found_all_the_same():
    found = align(pairs.port(smoothing=0.1), failing_on_two_examples(), stages=STAGES)
    assert found.verdict == "diverged"
    assert found.first.stage == "loss" and found.diagnosis.cause == "label_smoothing"


def raises(*_):
    raise ValueError("this cannot run")


@pytest.mark.parametrize("part", ["forward", "eval_data"])
def test_a_reference_that_gives_no_batches_or_outputs_is_bad_input(part):
    with pytest.raises(InputError, match=r"The reference fails in .*this cannot run"):
        align(pairs.port(), replace(pairs.reference(), **{part: raises}), stages=("eval_data", "forward"))


def test_the_commands_exit_code_says_that_it_cannot_tell(tmp_path):
    here = repr(str(Path(__file__).parent))
    for name, made in (("port", "pairs.port()"), ("reference", "failing.failing_on_two_examples()")):
        text = f"import sys\nsys.path.insert(0, {here})\nimport pairs\nimport test_reference_failures as failing\n"
        (tmp_path / f"{name}.py").write_text(f"{text}def recipe():\n    return {made}\n")
    files = [str(tmp_path / f"{name}.py") for name in ("port", "reference")]
    said = CliRunner().invoke(app, ["align", "run", *files, "--stages", "training_steps", "--json"])
    assert said.exit_code == 3
    assert json.loads(said.stdout)["verdict"] == "inconclusive"
