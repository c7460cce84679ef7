import io
import json
from pathlib import Path

import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.papers import exporting, shelf

ANSWER = """
import json, pathlib, sys
request = json.load(sys.stdin)
pathlib.Path(request["out"], "model.json").write_text(json.dumps(request))
pathlib.Path(request["answer"]).write_text(json.dumps({answer}))
"""


@pytest.fixture
def export(tmp_path, monkeypatch):
    """``export(program)`` exports with this program in the place of the child; returns its answer."""

    def run(program):
        monkeypatch.setattr(exporting, "CHILD", ("-c", program))
        paper, claim = shelf.find("maml/sinusoid-10shot")
        return exporting.export(paper, claim, Path("in"), Path("weights"), tmp_path / "out", steps=3)

    return run


def test_the_folder_appears_with_the_childs_answer(export, tmp_path):
    assert export(ANSWER.format(answer={"made": {"steps": 3}})) == {"steps": 3, "files": ["model.json"]}
    request = json.loads((tmp_path / "out" / "model.json").read_text())
    assert {key: request[key] for key in ("name", "folder", "weights", "steps")} == {
        "name": "maml/sinusoid-10shot",
        "folder": "in",
        "weights": "weights",
        "steps": 3,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("program", "error", "sentence"),
    [
        ("import os; os.kill(os.getpid(), 11)", PlatformError, "crashed with SIGSEGV"),
        ("import os; os.abort()", PlatformError, "crashed with SIGABRT"),
        ("import os; os._exit(7)", PlatformError, "exit code 7 and no answer"),
        ("import time; time.sleep(60)", PlatformError, "took longer than 0.5 s"),
        (ANSWER.format(answer={"bad_input": "no."}), InputError, "^no.$"),
        (ANSWER.format(answer={"platform": "cannot."}), PlatformError, "^cannot.$"),
        (ANSWER.format(answer={"failed": "ValueError: x"}), PlatformError, "wrote nothing: ValueError: x;"),
    ],
)
def test_a_child_that_fails_is_one_sentence_and_leaves_nothing(
    export, tmp_path, monkeypatch, program, error, sentence
):
    monkeypatch.setattr(exporting, "TIMEOUT", 0.5 if "sleep" in program else 60.0)
    with pytest.raises(error, match=sentence) as caught:
        export(program)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (InputError("no."), {"bad_input": "no."}),
        (PlatformError("cannot."), {"platform": "cannot."}),
        (ValueError("two\nlines"), {"failed": "ValueError: two lines"}),
    ],
)
def test_the_child_answers_what_went_wrong(tmp_path, monkeypatch, error, answer):
    class Part:
        @staticmethod
        def export(*_arguments, **_options):
            raise error

    request = dict.fromkeys(("folder", "weights", "out"), "x") | {"name": "maml", "steps": None}
    request["answer"] = str(tmp_path / "answer.json")
    monkeypatch.setattr(shelf, "part", lambda _paper, _name: Part)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(request)))
    exporting.main()
    assert json.loads((tmp_path / "answer.json").read_text()) == answer


def test_what_is_there_already_is_kept(export, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="out is there already"):
        export("raise SystemExit")
    (tmp_path / "out").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("mine")
    with pytest.raises(InputError, match="out is there already"):
        export("raise SystemExit")
    assert (tmp_path / "out" / "file").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_bad_input(export, tmp_path):
    tmp_path.rmdir()
    with pytest.raises(InputError, match="out cannot be made"):
        export("raise SystemExit")
