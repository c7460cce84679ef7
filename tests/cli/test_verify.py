"""`fuxian verify` on the command line."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fuxian.cli.verify import verify
from fuxian.errors import InputError, PlatformError
from fuxian.sandbox import run
from fuxian.verify.evidence import write

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
def whole_toy(tmp_path_factory):
    try:
        run(["/bin/true"])
    except PlatformError as error:
        pytest.skip(f"no sandbox here: {error}")
    spec = importlib.util.spec_from_file_location(TOY.stem, TOY)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.write_toy(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="module")
def toy(whole_toy, tmp_path_factory):
    """Evaluation alone."""
    folder = tmp_path_factory.mktemp("short") / "toy"
    shutil.copytree(whole_toy, folder)
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
    assert json.loads(checked.stdout)["known_key"] is True
    file = Path(document["evidence"])
    file.write_bytes(file.read_bytes() + b"\n")
    assert command("--evidence", file).exit_code == 1


def test_a_strangers_key_has_its_own_exit_code_and_is_said_last(command, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    file = write(
        tmp_path / "results", [], {"verdict": "rejected", "ruling": None, "time": "now", "nonce": "1"}
    )
    assert command("--evidence", file).exit_code == 0
    monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "others"))
    checked = command("--evidence", file)
    assert checked.exit_code == 3
    assert "stranger" in checked.stdout.strip().splitlines()[-1]


def test_errors_are_json_too(command, tmp_path):
    done = command(tmp_path / "nowhere", "--json")
    assert (done.exit_code, list(json.loads(done.stdout))) == (2, ["error"])
    done = command(tmp_path, "--terms", tmp_path / "none.toml", "--json")
    assert done.exit_code == 2
    assert "none.toml" in json.loads(done.stdout)["error"]
    done = command(tmp_path, "--attempt", 2, "--json")
    assert "--terms" in json.loads(done.stdout)["error"]


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


def forged_log(folder):
    file = folder / "logs/log.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[4]["loss"] *= 0.99
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def other_weights(folder):
    file = folder / "weights/model.npz"
    trained = dict(np.load(file))
    np.savez(file, **{name: -value for name, value in trained.items()})


def figure(right):
    """The evaluation writes this figure; the claim's target is 0.9 and its margin 0.03."""

    def write(folder):
        file = folder / "tools/eval.py"
        text = file.read_text()
        assert ".astype(float)\n" in text
        # Examples that hardly differ: the figure is known to a hundredth of the margin.
        lines = f"right[:] = {right} + 0.001 * (-1.0) ** np.arange(len(right))\n"
        file.write_text(text.replace(".astype(float)\n", f".astype(float)\n{lines}"))

    return write


@pytest.mark.parametrize(
    ("spoil", "reason", "step"),
    [
        (forged_log, "REPLAY_MISMATCH", "replay"),
        (other_weights, "METRIC_SHORT", "rule"),
        (figure(0.87 - 0.1), "METRIC_SHORT", "rule"),
        (figure(0.87 - 0.001), "METRIC_SHORT", "rule"),
    ],
    ids=[
        "a forged log",
        "weights that do not give the figure",
        "0.1 below the margin",
        "0.1 % below the margin",
    ],
)
def test_each_is_rejected_for_its_own_reason(command, whole_toy, tmp_path, spoil, reason, step):
    folder = tmp_path / "toy"
    shutil.copytree(whole_toy, folder)
    spoil(folder)
    done = command(folder, "--json")
    assert done.exit_code == 1, done.output
    document = json.loads(done.stdout)
    assert (document["verdict"], document["reason"]) == ("rejected", reason)
    last = document["checks"][-1]
    assert (last["name"], last["status"], last["reason"]) == (step, "fail", reason)
    assert command("--evidence", document["evidence"], folder).exit_code == 0


def test_bad_input_is_one_sentence(command, tmp_path):
    for arguments, says in (((), "name a submission"), ((tmp_path / "nowhere",), "no folder")):
        error = command(*arguments).exception
        assert isinstance(error, InputError)
        assert says in str(error)


def test_what_is_not_committed_is_said_beside_the_document(command, toy, tmp_path):
    folder = shutil.copytree(toy, tmp_path / "repository")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    (folder / "fuxian.toml").unlink()
    done = command(folder, "--json")
    assert "1 file differs from commit" in done.stderr
    assert "fuxian.toml" in done.stderr
    assert json.loads(done.stdout)["verdict"] == "accepted"
