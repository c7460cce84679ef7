"""`fuxian verify` on the command line."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fuxian.cli.verify import verify
from fuxian.errors import InputError, PlatformError
from fuxian.sandbox import run

TOY = Path(__file__).parents[1] / "verify" / "toy_submission.py"


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "keys"))
    app = typer.Typer()
    app.command()(verify)

    def go(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments), f"--out={tmp_path / 'runs'}"])

    return go


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    try:
        run(["/bin/true"])
    except PlatformError as error:
        pytest.skip(f"no sandbox here: {error}")
    spec = importlib.util.spec_from_file_location(TOY.stem, TOY)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    folder = module.write_toy(tmp_path_factory.mktemp("toy") / "toy")
    # Evaluation alone: the rest is in tests/verify.
    lines = (folder / "fuxian.toml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("train = ", "export = "))]
    (folder / "fuxian.toml").write_text("".join(kept))
    return folder


def test_accepted_is_one_document_and_exit_code_0_and_its_evidence_holds(command, toy):
    done = command(toy, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert {"verdict", "reason", "checks", "measured", "evidence"} <= set(document)
    assert (document["verdict"], document["reason"]) == ("accepted", "OK")
    status = {step["name"]: step["status"] for step in document["checks"]}
    assert (status["replay"], status["chain"]) == ("not_applicable", "not_applicable")

    checked = command("--evidence", document["evidence"], toy, "--json")
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["signer"] == "self-signed"
    file = Path(document["evidence"])
    file.write_bytes(file.read_bytes() + b"\n")
    assert command("--evidence", file).exit_code == 1


def test_rejected_is_exit_code_1_with_the_reason(command, toy):
    manifest = toy / "fuxian.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace("target = 0.9\n", "target = 0.999\n"))
    try:
        done = command(toy)
    finally:
        manifest.write_text(text)
    assert done.exit_code == 1
    assert "METRIC_SHORT" in done.stdout


def test_bad_input_is_one_sentence(command, tmp_path):
    for arguments, says in (((), "name a submission"), ((tmp_path / "nowhere",), "no folder")):
        error = command(*arguments).exception
        assert isinstance(error, InputError)
        assert says in str(error)
