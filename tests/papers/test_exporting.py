import io
import json
from pathlib import Path

import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.papers import exporting
from fuxian.papers.find import find_claim

ANSWER = """
import json, pathlib, sys
request = json.load(sys.stdin)
pathlib.Path(request["place"], "examples.npz").write_bytes(b"PK\\5\\6" + bytes(18))
pathlib.Path(request["out"], request["do"] + ".json").write_text(json.dumps(request))
pathlib.Path(request["answer"]).write_text(json.dumps({answer}))
"""


@pytest.fixture
def export(tmp_path, tmp_path_factory, monkeypatch):
    """``export(program)`` exports with this program in the place of the child; returns its answer."""
    place = tmp_path_factory.mktemp("child")
    monkeypatch.setenv("PYTHONPATH", str(place))

    def run(program):
        (place / "in_its_place.py").write_text(program)
        monkeypatch.setattr(exporting, "MODULE", "in_its_place")
        monkeypatch.setattr(exporting, "describe_export", lambda _folder, _examples: {"onednn": True})
        folder, claim = find_claim("maml/sinusoid-10shot")
        return exporting.export(folder, claim, Path("weights"), tmp_path / "out", {"steps": 3})

    return run


def test_the_folder_appears_with_the_childrens_answers(export, tmp_path):
    made = export(ANSWER.format(answer={"made": {"steps": 3}}))
    assert made["check"] == {"steps": 3} and made["steps"] == 3
    assert made["files"] == ["check.json", "inference.json", "write.json"]
    request = json.loads((tmp_path / "out" / "write.json").read_text())
    assert {key: request[key] for key in ("name", "weights", "options")} == {
        "name": "maml/sinusoid-10shot",
        "weights": "weights",
        "options": {"steps": 3},
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
    def failing(_request):
        raise error

    monkeypatch.setattr(exporting, "_write_all", failing)
    request = {"do": "write", "answer": str(tmp_path / "answer.json")}
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
