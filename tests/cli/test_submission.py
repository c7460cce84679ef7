"""`fuxian check` and `package` as commands: exit codes, and one JSON document."""

import json

import pytest
import typer
from typer.testing import CliRunner

from fuxian.cli import submission as commands
from fuxian.submission.templates import OFFICIAL

app = typer.Typer()
for command in (commands.new, commands.check, commands.package):
    app.command()(command)
app.add_typer(commands.reference_app, name="reference")
run = CliRunner().invoke

MANIFEST = """\
paper = "maml"
claims = ["sinusoid-10shot"]
recipe = "recipe.py"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fuxian.toml").write_text(MANIFEST)
    (tmp_path / "LICENSE").write_text((OFFICIAL / "LICENSE").read_text())
    return tmp_path


def test_check_exits_with_1_where_a_line_fails(folder):
    done = run(app, ["check", str(folder)])
    assert done.exit_code == 1
    assert "FAIL" in done.stdout
    assert "requirements.txt" in done.stdout


def test_check_prints_one_json_document(folder):
    done = run(app, ["check", str(folder), "--json"])
    document = json.loads(done.stdout)
    assert document["passed"] is False
    by_id = {line["id"]: line for line in document["findings"]}
    assert by_id["licence"]["status"] == "pass"
    assert set(by_id["tipc"]) == {"id", "title", "status", "file", "line", "what", "mend"}


def test_check_exits_with_0_where_all_that_fails_is_waived(folder):
    document = json.loads(run(app, ["check", str(folder), "--json"]).stdout)
    with (folder / "fuxian.toml").open("a") as file:
        for line in document["findings"]:
            if line["status"] == "fail":
                file.write(f'[[waive]]\nid = "{line["id"]}"\nreason = "this is a test of waivers"\n')
    done = run(app, ["check", str(folder)])
    assert done.exit_code == 0, done.output
    assert "waived" in done.stdout


def test_names_cannot_write_to_the_terminal(folder):
    (folder / "a\x1b]0;owned\x07[bold red]x.py").write_text("import torch")
    done = run(app, ["check", str(folder)])
    assert "\x1b]0" not in done.stdout
    assert "[bold red]" in done.stdout.replace("\n", "")


def test_no_manifest_is_bad_input(tmp_path):
    done = run(app, ["check", str(tmp_path)])
    assert done.exit_code != 0
    assert "fuxian.toml" in str(done.exception)
    done = run(app, ["check", str(tmp_path), "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == 2
    assert "fuxian describe" in document["error"]
    assert {one["id"]: one["status"] for one in document["findings"]}["licence"] == "fail"


def test_every_command_shows_an_example():
    for name in ("new", "check", "package"):
        assert "Example: fuxian" in run(app, [name, "--help"]).stdout


@pytest.mark.parametrize(("printed", "code"), [("print('mse: 0.25')", 0), ("raise SystemExit(3)", 1)])
def test_the_reference_is_run_and_recorded(folder, printed, code):
    with (folder / "fuxian.toml").open("a") as file:
        file.write(f"[reference]\nrun = ['python', '-c', \"{printed}\"]\npattern = 'mse: (?P<mse>[0-9.]+)'\n")
    done = run(app, ["reference", "run", str(folder), "--allow-unsandboxed", "--json"])
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    assert document.get("figure") == (0.25 if code == 0 else None)
    assert (folder / "results/reference.json").is_file() == (code == 0)


def test_the_help_of_reference_run_is_whole():
    text = " ".join(run(app, ["reference", "run", "--help"]).stdout.split())
    assert "as says" not in text
    assert "2 bad input" in text
