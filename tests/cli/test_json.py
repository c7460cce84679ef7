"""``--json``, as every command keeps it: one document on stdout whatever happens, and everything else on stderr."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from fuxian.cli.main import app


def commands(group=None, before=()):
    """Every command's words with its click command, as in ("align", "run")."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


COMMANDS = dict(commands())


def fuxian(*arguments):
    line = [sys.executable, "-m", "fuxian.cli.main", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_json_and_an_example(words):
    command = COMMANDS[words]
    assert any("--json" in parameter.opts for parameter in command.params), words
    assert f"Example: fuxian {' '.join(words)}" in command.help


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_is_printed(words):
    """Square brackets in it are no markup."""
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0 and "Usage:" in shown.output, shown.output


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_wrong_option_is_one_document_too(words, monkeypatch, capfd):
    from fuxian.cli import main

    monkeypatch.setattr(main, "prepare", lambda: None)
    monkeypatch.setattr(sys, "argv", ["fuxian", *words, "--no-such-option", "--json"])
    with pytest.raises(SystemExit) as caught:
        main.run()
    out, err = capfd.readouterr()
    assert caught.value.code == 2
    # What is missing may be said first.
    said = json.loads(out)["error"]
    assert any(word in said for word in ("--no-such-option", "Missing", "is missing")), said
    assert err == f"fuxian: {json.loads(out)['error']}\n"


def test_what_a_recipe_prints_does_not_spoil_the_document(tmp_path):
    recipe = """
import os
import paddle
from fuxian import Recipe
print("hello from the recipe")
os.system("echo hello from a child")

def recipe():
    return Recipe(model=lambda: paddle.nn.Linear(2, 2))
"""
    (tmp_path / "recipe.py").write_text(recipe)
    done = fuxian("align", "record", tmp_path / "recipe.py", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["recording"] == str(tmp_path / "out")
    assert document["bytes"] == sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert "hello from the recipe" in done.stderr and "hello from a child" in done.stderr
