"""The checklist in Chinese: every sentence that its code can say is in the table, and an entrant's words stay."""

import ast
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fuxian
from fuxian.cli.main import app
from fuxian.errors import InputError
from fuxian.submission import checklist
from fuxian.submission.checklist import CHECKS, Finding, check
from fuxian.submission.checklist.secrets import KEYS
from fuxian.submission.checklist.translate import sentence, translated, unreadable
from fuxian.submission.manifest import load_manifest

FILES = sorted(Path(checklist.__file__).parent.glob("*.py"))
CHINESE = re.compile("[\u4e00-\u9fff]")


def templates():
    """What ``failed``, ``passed`` and ``not_applicable`` are given, with ``7`` for each value that is put in."""
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            given = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                count = {"failed": 2, "passed": 1, "not_applicable": 1}.get(node.func.id, 0)
                given = node.args[:count]
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("what", "mend"):
                given = [node.value]
            elif file.stem == "training_log" and isinstance(node, ast.Return):
                # What contradicts itself, with its line.
                given = node.value.elts[:1] if isinstance(node.value, ast.Tuple) else []
            for one in given:
                found |= {
                    _text(part) for part in ([one.body, one.orelse] if isinstance(one, ast.IfExp) else [one])
                }
    return sorted(found - {None})


def _text(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "7" for part in node.values)
        # The cell of a notebook, which stands before the sentence or not at all.
        return re.sub("^7(?=[a-z])", "", text)
    return None


def test_every_sentence_of_the_checklist_is_in_the_table():
    said = templates()
    assert len(said) > 100, "the checklist's sentences are no longer found"
    assert [text for text in said if "; waived: " not in text and sentence(text, "zh") == text] == []
    for title, _ in CHECKS.values():
        line = translated(Finding("id", title, "pass", None, None, "", ""), "zh")
        assert CHINESE.search(line.title) or title == "lite_data", title
    for secret in (*KEYS, "a secret that is assigned"):
        assert CHINESE.search(sentence(f"this looks like {secret}", "zh").removeprefix("这像是")), secret


READERS = ("submission/manifest.py", "paper.py", "toml_files.py", "submission/output_pattern.py")
OF_THE_OUTPUT = ("the metric's pattern", "no line of the output")
"""Said of what a program printed, not of a manifest."""


def readers_sentences():
    """What reading a manifest or a paper.toml can say, with ``7`` for each value that is put in."""
    found = set()
    for file in READERS:
        for node in ast.walk(ast.parse((Path(fuxian.__file__).parent / file).read_text(encoding="utf-8"))):
            name = (
                getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
            )
            if name in ("ValueError", "InputError", "Malformed"):
                found.add(_text(node.args[0]))
            elif name == "error" and len(node.args) == 2:
                found.add(_text(node.args[1]))
            elif isinstance(node, ast.FunctionDef) and node.name in ("in_words", "missing"):
                found |= {_text(one.value) for one in ast.walk(node) if isinstance(one, ast.Return)}
    found -= {None, "77 (found 7)", "7, line 7: 7field 7: 7.", "7: 7."}
    return sorted(one for one in found if not any(words in one for words in OF_THE_OUTPUT))


def test_every_sentence_about_a_manifest_that_cannot_be_read_is_in_the_table():
    said = [one.replace("there is no 7;", "there is no fuxian.toml;") for one in readers_sentences()]
    assert len(said) > 45, "the readers' sentences are no longer found"
    assert [one for one in said if not CHINESE.search(unreadable(one, "zh"))] == []


WRONG = {
    "numbers = 5": ('number = "42"', "field 'team.numbers'"),
    "number = 5": ('number = "42"', "valid string"),
    'claims = ["nope"]': ('claims = ["top1"]', "no claim 'nope'"),
    "seeds = [-1]": ("seeds = [7]", "claim 'top1', "),
    "seeds = []": ("seeds = [7]", "at least 1 item"),
    'metric = ""': ('metric = "accuracy"', "at least 1 character"),
    "year = 21": ("year = 2021", "greater than or equal"),
    "margin = ": ("margin = 0.05", "not TOML"),
    'scope = "small"': ('scope = "paper"', "should be"),
    'repo = "github.com/x"': ('repo = "https://github.com/mixers/mixer"', "match pattern"),
}


@pytest.mark.parametrize("new", WRONG)
def test_a_manifest_that_cannot_be_read_is_said_in_chinese(submission, edit, new):
    old, words = WRONG[new]
    edit("fuxian.toml", old, new)
    with pytest.raises(InputError) as caught:
        load_manifest(submission)
    english, chinese = str(caught.value), unreadable(str(caught.value), "zh")
    assert words in english and unreadable(english, "en") == english
    assert "第" in chinese and words not in chinese.replace("claim 'top1'", "")
    own = re.sub("（.*?）", "", chinese)  # what is found there, or the reader's own word
    assert not re.search("[a-z]{3} [a-z]", own), chinese


def test_check_says_in_chinese_what_it_cannot_read(submission, edit):
    edit("fuxian.toml", 'number = "42"', "numbers = 5")
    done = CliRunner().invoke(app, ["check", str(submission), "--lang", "zh"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception).endswith("字段 'team.numbers'：不是已知字段；请检查拼写或删除。")


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("3 files, 1.2 MB", "3 个文件，1.2 MB"),
        ("missing: a.py, b.py and 4 more", "缺少：a.py、b.py 等，另有 4 项"),
        ("no program for: training (tools/train.py)", "缺少这些任务的程序：训练（tools/train.py）"),
        ("cell 3, line 2: imports torch", "第 3 个单元格第 2 行：导入了 torch"),
        (
            "the command 'x is not there' names {0}.py, which is not there",
            "命令 'x is not there' 所写的 {0}.py 不存在",
        ),
        ("a sentence of nobody", "a sentence of nobody"),
    ],
)
def test_names_and_numbers_stand_in_the_sentence(english, chinese):
    assert sentence(english, "zh") == chinese
    assert sentence(english, "en") == english


def test_a_submission_in_chinese(submission):
    (submission / "LICENSE").unlink()
    (submission / "mixer" / "model.py").write_text("import torch\n")
    for finding in check(submission):
        other = translated(finding, "zh")
        assert other.status == finding.status and other.file == finding.file
        assert CHINESE.search(other.what), finding
        assert not finding.mend or CHINESE.search(other.mend), finding
        assert translated(finding, "en") == finding


def test_a_waived_line_keeps_the_entrants_reason():
    line = Finding(
        "licence", "Licence", "waived", None, None, "there is no LICENSE; waived: a; waived: b", ""
    )
    assert translated(line, "zh").what == "没有 LICENSE；豁免理由：a; waived: b"
