"""Every command that a page, a help text or the first page prints: run, or named here with who runs it.

tests/test_docs.py holds each to the options that there are; this runs those that take seconds and need no data.
"""

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer

from fuxian.cli.commands import FIRST_STEPS
from fuxian.cli.main import app

sys.path.insert(0, str(Path(__file__).parent))

from test_docs import parse, words

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/fuxian/papers/*/README.md")]
)
PRINTED = re.compile(r"(?m)(?:^\s*(?:\$ )?|`|Example: )(?:\S*/)?fuxian ((?:[a-z-]+)(?: [^`\n#|>]*)?)")
RUN = {
    "papers": (),
    "doctor": (),
    "runs": (),
    "data list": (),
    "data path": ("omniglot",),
    "weights inspect": (ROOT / "src/fuxian/papers/maml/weights/omniglot-5way-1shot.safetensors",),
    "check": (ROOT / "src",),
}
"""Run as printed or with these arguments; a code above 3 is a failure of Fuxian, and 2 must be one sentence."""
EXEMPT = {
    "reproduce": "trains: tests/cli/test_reproduce.py runs it with --quick and --iterations",
    "train": "trains: tests/cli/test_reproduce.py",
    "evaluate": "needs data or a minute: tests/cli/test_reproduce.py",
    "predict": "tests/cli/test_predict.py",
    "export": "tests/cli/test_export.py",
    "compare": "needs two runs: tests/cli/test_runs.py",
    "new": "trains its template: tests/submission/test_new.py",
    "describe": "tests/submission/test_describe.py",
    "package": "tests/submission/test_package.py",
    "verify": "needs a sandbox: tests/cli/test_verify.py",
    "reference": "tests/cli/test_submission.py",
    "align": "trains and records: tests/cli/test_align.py",
    "weights": "tests/cli/test_weights.py",
    "data": "downloads: tests/cli/test_data.py, with a server of its own",
    "contest": "needs a server: tests/cli/test_contest.py runs each of its commands",
}
"""The first word of a command, and why it is not run here."""


def printed():
    """The words of every printed command, each once."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    texts += [command.help or "" for command in _commands(typer.main.get_command(app))]
    found = {line.strip() for text in texts for line in PRINTED.findall(text)}
    return sorted(found | {shlex.join(words) for words, _ in FIRST_STEPS if not words[0].startswith("--")})


def _commands(group):
    for command in getattr(group, "commands", {}).values():
        yield command
        yield from _commands(command)


def test_every_printed_command_is_run_or_exempt():
    names = {command.name for command in typer.main.get_command(app).commands.values()}
    lines = printed()
    assert len(lines) > 60, "the pattern no longer finds what is printed"
    for line in lines:
        words = line.split()
        if words[0] in names:
            assert " ".join(words[:2]) in RUN or words[0] in RUN or words[0] in EXEMPT, line
    assert set(EXEMPT) <= names, "a command that is gone needs no exemption"
    for name, why in EXEMPT.items():
        for place in re.findall(r"tests/\S+?(?=[:,]|$| )", why):
            assert (ROOT / place).exists(), f"{name}: {place} runs it, and is not there"
            text = (ROOT / place).read_text(encoding="utf-8")
            assert re.search(rf"[\"'( ]{name}\b", text), f"{name}: {place} does not run it"


@pytest.mark.parametrize("name", RUN)
def test_a_short_command_runs_as_printed(name, tmp_path, monkeypatch, capfd):
    from fuxian.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "prepare", lambda: None)
    monkeypatch.setattr("sys.argv", ["fuxian", *name.split(), *map(str, RUN[name])])
    with pytest.raises(SystemExit) as caught:
        main.run()
    out, err = capfd.readouterr()
    assert caught.value.code in (0, 1, 2, 3), err
    assert "internal error" not in err and "Traceback" not in err
    assert out if caught.value.code != 2 else err.startswith("fuxian: ")


IN_MESSAGE = re.compile(r"(?:`|run: |run |: )fuxian ([a-z][^`;,)\n<\u3002]*)")


def messages():
    """The commands that messages and contest pages name, with ``1`` for each value that is put in."""
    for file in sorted((ROOT / "src/fuxian").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        parts = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            text = ""
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "1" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                text = node.value
            yield from ((file.name, line) for line in IN_MESSAGE.findall(re.sub(r"\{\w+\}", "1", text)))
    for file in sorted((ROOT / "src/fuxian/contest/web/templates").rglob("*.html")):
        text = re.sub(r"\{\{.*?\}\}", "1", file.read_text(encoding="utf-8"))
        yield from ((file.name, line) for line in re.findall(r"<code>fuxian ([^<]*)", text))


def test_commands_in_messages_exist_and_take_these_options(monkeypatch):
    monkeypatch.setenv("FUXIAN_CONTEST_PASSWORD", "asked for otherwise")
    found = sorted(set(messages()))
    assert len(found) > 30, "the pattern no longer finds what messages name"
    for file, line in found:
        try:
            parse(words(line.rstrip(". ")), named_only=True)
        except (AssertionError, pytest.fail.Exception) as error:
            raise AssertionError(f"{file}: {error}") from error
