"""Every command that a page, a help text or a message prints: run as it is printed, or named here with who runs it.

tests/test_docs.py holds each to the options that there are. What is run here is run in one folder, in the order in
which a newcomer would; words that stand for something (DIR, RUN) are put in, and what takes minutes has its quick form.
"""

import ast
import importlib.util
import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import typer

from fuxian.cli.commands import FIRST_STEPS
from fuxian.cli.main import app
from fuxian.datasets.catalogue import CATALOGUE

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_docs import parse, words

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/fuxian/papers/*/README.md")]
)
PRINTED = re.compile(r"(?m)(?:^\s*(?:\$ )?|`|Example: )(?:\S*/)?fuxian ((?:[a-z-]+)(?: [^`\n#|>]*)?)")
OWN = "my-paper/waveforms"
ANY = (0, 1, 2, 3)
NEWCOMER = (
    # (as printed, as it is run where that differs, exit codes)
    ("papers", "", 0),
    ("papers --json", "", 0),
    ("papers maml/omniglot-5way-1shot", "", 0),
    ("doctor", "", ANY),
    ("data list", "", ANY),
    ("data path omniglot", "", 0),
    ("new my-paper", "", 0),
    ("check my-paper", "", 1),
    ("check DIR --lang zh", "check my-paper --lang zh", 1),
    ("align run my-paper/recipe.py my-paper/reference/recipe.py", "", 0),
    ("reproduce ./my-paper", "reproduce ./my-paper --quick", 0),
    ("reproduce --resume RUN", "", 0),
    ("train PAPER/CLAIM --workers 4", f"train ./{OWN} --workers 1 --iterations 5", 0),
    ("evaluate PAPER/CLAIM --run RUN", f"evaluate ./{OWN} --run RUN", (1, 3)),
    ("runs", "", 0),
    ("compare RUN RUN --page both.html", "", 0),
    ("reference run my-paper", "reference run my-paper --allow-unsandboxed", 0),
    ("package my-paper --out my-package", "package my-paper --out my-package --no-execute", 1),
    ("describe DIR", "describe undescribed", 0),
    ("weights inspect model.pth", "weights inspect my-paper/weights/waveforms.safetensors", 0),
    ("weights convert IN OUT", "weights convert my-paper/weights/waveforms.safetensors OUT.npz", 0),
    ("weights diff before.safetensors after.pdparams",
     "weights diff my-paper/weights/waveforms.safetensors OUT.npz", 0),
    ("export PAPER --help", "export maml --help", 0),
    ("predict PAPER --help", "predict maml --help", 0),
    ("weights get maml", "", ANY),
)  # fmt: skip
EXEMPT = {
    "reproduce": "trains for minutes: tests/cli/test_reproduce.py, with --quick and --iterations",
    "train": "trains for minutes: tests/cli/test_reproduce.py",
    "evaluate": "needs data or a minute: tests/cli/test_reproduce.py",
    "predict": "needs pictures: tests/cli/test_predict.py",
    "export": "tests/cli/test_export.py",
    "compare": "the same with other names: tests/cli/test_runs.py",
    "new": "evaluates or trains for a minute: tests/submission/test_new.py",
    "check": "the same with other names: tests/cli/test_submission.py",
    "describe": "the same with another name: tests/submission/test_describe.py",
    "package": "the same with other names: tests/submission/test_package.py",
    "verify": "takes minutes in a sandbox: tests/cli/test_verify.py",
    "align": "files of the reader's: tests/cli/test_align.py",
    "weights": "files of the reader's, or downloads: tests/cli/test_weights.py",
    "data": "downloads: tests/cli/test_data.py, with a server of its own",
    "contest": "needs a server: tests/cli/test_contest.py runs each of its commands",
}
"""The first word of a command that is not run here in each of its forms, and why."""


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
            assert line in {one for one, _, _ in NEWCOMER} or words[0] in EXEMPT, line
    for line, _, _ in NEWCOMER:
        assert line in lines, f"no page prints {line} any longer"
    assert set(EXEMPT) <= names, "a command that is gone needs no exemption"
    for name, why in EXEMPT.items():
        for place in re.findall(r"tests/\S+?(?=[:,]|$| )", why):
            assert (ROOT / place).exists(), f"{name}: {place} runs it, and is not there"
            text = (ROOT / place).read_text(encoding="utf-8")
            assert re.search(rf"[\"'( ]{name}\b", text), f"{name}: {place} does not run it"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A newcomer's folder, after ``fuxian new my-paper`` where no extra is installed; new.txt has what it printed."""
    folder = tmp_path_factory.mktemp("newcomer")
    absent = ("nbformat", "nbclient", "ipykernel", "fastapi", "sqlalchemy", "ray", "onnx")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); from fuxian.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "new", "my-paper"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    (folder / "new.txt").write_text(done.stdout)
    return folder


def _typed(given, folder):
    command = [sys.executable, "-m", "fuxian.cli.main", *given]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def here(fuxian, place, monkeypatch):
    """``here(line, codes)`` runs a command in the newcomer's folder; what it printed on both streams.

    A side of an alignment runs in a forked child, which this process, with its threads, must not be.
    """
    monkeypatch.chdir(place)
    monkeypatch.setenv("FUXIAN_RUNS", "runs")

    def run(line, codes):
        given = words(line)
        if given[0] == "align":
            done = _typed(given, place)
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code, out, err = fuxian(*given)
        assert code in (codes if isinstance(codes, tuple) else (codes,)), f"{line}: {code}\n{out}{err}"
        assert "internal error" not in err and "Traceback" not in err, line
        assert out or err.startswith("fuxian: "), line
        return out + err

    return run


def newest_run(place):
    folders = [folder for folder in (place / "runs").iterdir() if folder.is_dir()]
    return max(folders, key=lambda folder: folder.stat().st_mtime_ns).relative_to(place)


def test_a_newcomer_types_what_is_printed(here, place):
    assert "reproduce maml/sinusoid-10shot --quick" in here("runs", 0), "there is none yet"
    said = (place / "new.txt").read_text()
    printed_next = [line.partition("fuxian ")[2] for line in said.splitlines() if "fuxian " in line]
    typed = [line for line, _, _ in NEWCOMER]
    assert len(printed_next) == 2 and set(printed_next) <= set(typed)
    for line, as_run, codes in NEWCOMER:
        if line == "new my-paper" or (line.startswith("align") and not _there("torch")):
            continue
        if line == "reproduce --resume RUN":
            shutil.rmtree(place / newest_run(place) / "checkpoints")
        if line == "describe DIR":
            shutil.copytree(place / "my-paper", place / "undescribed")
            (place / "undescribed/fuxian.toml").unlink()
        words_typed = (as_run or line).split(" ")
        here(" ".join(str(newest_run(place)) if word == "RUN" else word for word in words_typed), codes)


def _there(package):
    return importlib.util.find_spec(package) is not None


IN_MESSAGE = re.compile(r"(?:`|run: |run |: )fuxian ([a-z][^`;,)\n<\u3002]*)")


@cache
def messages():
    """The commands that messages and contest pages name, with ``1`` for each value that is put in."""
    found = []
    for file in sorted((ROOT / "src/fuxian").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
        if "from fuxian.invocation import" in text:
            found += [(file.name, line) for line in _called(tree)]
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
            found += [(file.name, line) for line in IN_MESSAGE.findall(re.sub(r"\{\w+\}", "1", text))]
    for file in sorted((ROOT / "src/fuxian/contest/web/templates").rglob("*.html")):
        text = file.read_text(encoding="utf-8")
        shown = re.findall(r"<code>fuxian ([^<]*)", re.sub(r"\{\{.*?\}\}", "1", text))
        found += [(file.name, line) for line in [*shown, *re.findall(r"run fuxian ([^<\"]*)", text)]]
    return sorted(set(found))


def _called(tree):
    """What ``command("data", "get", name)`` prints, for each such call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "command" and len(node.args) > 1:
            yield " ".join(
                getattr(one, "value", "1") if isinstance(one, ast.Constant) else "1" for one in node.args
            )


FOLLOWED = {
    "align run 1 1": "as `new` prints it",
    "check 1": "as `new` prints it",
    "package 1 --out 1": "as printed in the pages",
    "describe 1": "test_a_folder_without_a_manifest",
    "train --resume 1": "test_a_run_without_a_checkpoint",
    "weights convert 1 OUT.npz": "test_a_pickle_of_weights",
    "weights convert 1 OUT.safetensors": "test_a_pickle_of_weights",
    "data get 1": "test_a_data_set_that_is_not_there",
    "data get omniglot": "test_a_data_set_that_is_not_there",
    "data list": "as printed in the pages",
    "papers": "as printed in the pages",
    "doctor": "as printed in the pages",
    "runs": "as printed in the pages",
    "export --help": "test_what_is_missing_is_shown_by_the_help",
    "predict --help": "test_what_is_missing_is_shown_by_the_help",
}
"""Each message's command that is run as the message prints it, and where."""
NOT_FOLLOWED = {
    "reproduce 1": "trains for minutes: tests/cli/test_reproduce.py",
    "reproduce 1/1": "trains for minutes: tests/cli/test_reproduce.py",
    "reproduce maml/sinusoid-10shot --quick": "takes half a minute: tests/cli/test_reproduce.py, in 60 iterations",
    "1 --resume 1": "after Ctrl-C: tests/cli/test_reproduce.py",
    "verify 1": "takes minutes in a sandbox: tests/cli/test_verify.py",
    "verify DIR --terms 1/1": "takes minutes in a sandbox: tests/cli/test_verify.py",
    "weights get 1/1": "downloads: tests/cli/test_weights.py, with a mirror of its own",
    "contest serve 1": "runs until it is stopped: tests/contest/test_server.py",
    "contest serve 1.": "runs until it is stopped: tests/contest/test_server.py",
    "contest audit DIR --log log.jsonl": "tests/cli/test_contest.py",
    "contest backup DIR FILE": "tests/cli/test_contest.py",
    "contest worker DIR.": "tests/cli/test_contest.py",
}
"""The others, each with why and who runs it. Bare names: ``test_a_bare_name_says_what_it_needs``."""


def test_every_command_in_a_message_is_run_or_exempt():
    groups = typer.main.get_command(app).commands
    found = {line for _, line in messages()}
    for line in found:
        assert line in FOLLOWED or line in NOT_FOLLOWED or line in groups, line
    for line, where in {**FOLLOWED, **NOT_FOLLOWED}.items():
        assert line in found, f"no message prints {line} any longer"
        assert where.startswith("as ") or where in globals() or _is_run(where, line.split()[0]), line


def _is_run(why, name):
    (place,) = re.findall(r"tests/\S+?(?=[:,]|$| )", why)
    return name == "1" or re.search(rf"[\"'( ]{name}\b", (ROOT / place).read_text(encoding="utf-8"))


def printed_command(said, name):
    """The one command ``fuxian NAME ...`` that a message holds between backquotes, or at its end."""
    (line,) = set(re.findall(rf"\S*fuxian ({name}[^`\n;]*?)(?=`| mends it|\s*$)", said, re.MULTILINE))
    return line


def test_a_folder_without_a_manifest(here, place):
    (place / "bare").mkdir()
    (place / "bare/eval.py").write_text("import paddle\n\nprint('acc:', paddle.ones([1]).item())\n")
    said = here("check bare", 2)
    assert "Written" in here(printed_command(said, "describe"), 0)


def test_a_run_without_a_checkpoint(here, place):
    claim = "./" + OWN
    here(f"train {claim} --iterations 4", 0)
    run = newest_run(place)
    shutil.rmtree(place / run / "checkpoints")
    again = printed_command(here(f"evaluate {claim} --run {run}", 2), "train")
    assert here(again, 0).startswith("Trained: ")
    here(f"evaluate {claim} --run {run}", (1, 3))


@pytest.mark.parametrize(("file", "out"), [("a.pdparams", "OUT.safetensors"), ("a.pkl", "OUT.npz")])
def test_a_pickle_of_weights(here, place, monkeypatch, file, out):
    folder = place / f"pickled-{out}"
    shutil.copytree(place / "my-paper", folder)
    weights = {"w": np.ones((2, 3), np.float32), "made": PurePosixPath("x")}
    (folder / "weights" / file).write_bytes(pickle.dumps(weights))
    findings = json.JSONDecoder().raw_decode(here(f"check {folder.name} --json", 1))[0]["findings"]
    (mend,) = [one["mend"] for one in findings if "weights convert" in one["mend"]]
    monkeypatch.chdir(folder)
    line = printed_command(mend, "weights convert")
    assert line.endswith(f"{file} {out}")
    assert "1 tensors" in here(line, 0)
    assert (folder / out).is_file()


def test_a_data_set_that_is_not_there(here, tmp_path, data_root, monkeypatch):
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    monkeypatch.setenv("FUXIAN_MIRROR", str(data_root))
    get = printed_command(here("evaluate maml/omniglot-5way-1shot", 2), "data get")
    assert get == "data get omniglot"
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / CATALOGUE["omniglot"].files[0].name).write_bytes(b"half")
    assert printed_command(here("data list", 1), "data get") == get
    assert f"omniglot is whole: {tmp_path}" in here(get, 0)


@pytest.mark.parametrize("line", ["predict maml/sinusoid-10shot", "export"])
def test_what_is_missing_is_shown_by_the_help(here, line):
    assert "Usage: fuxian" in here(printed_command(here(line, 2), f"{line.split()[0]} --help"), 0)


def test_a_bare_name_says_what_it_needs(here, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    groups = typer.main.get_command(app).commands
    bare = {line for _, line in messages() if line in groups} - set(FOLLOWED)
    assert len(bare) > 5
    for name in sorted(bare):
        assert re.search(r"(?m)^fuxian: .*\.?$", here(name, 2)), name


def test_commands_in_messages_exist_and_take_these_options(monkeypatch):
    monkeypatch.setenv("FUXIAN_CONTEST_PASSWORD", "asked for otherwise")
    found = messages()
    assert len(found) > 30, "the pattern no longer finds what messages name"
    for file, line in found:
        try:
            parse(words(re.sub("^1 ", "reproduce ", line.rstrip(". "))), named_only=True)
        except (AssertionError, pytest.fail.Exception) as error:
            raise AssertionError(f"{file}: {error}") from error
