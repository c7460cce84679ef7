"""paper.toml files, good and bad."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian.errors import InputError
from fuxian.paper import load_paper

patient = settings(deadline=None)
HEAD = """\
id = "maml"
title = "Model-Agnostic Meta-Learning"
authors = ["Chelsea Finn"]
venue = "ICML"
year = 2017
url = "https://arxiv.org/abs/1703.03400"

[reference]
repo = "https://github.com/cbfinn/maml"
commit = "a7f45f1bcd7457fe97b227a21e89b8a82cc5fa49"
licence = "MIT"
"""
CLAIM = """
[[claim]]
id = "omniglot"
title = "5-way 1-shot"
dataset = "omniglot"
split = "test"
metric = "accuracy"
unit = "accuracy"
display = "percent"
direction = "higher"
scope = "paper"
subject = "procedure"
published = { value = 0.987, half_width = 0.004, source = "Table 1" }
checkpoint = "last"
seeds = [0, 1]
iterations = 60000
"""
PUBLISHED = 'published = { value = 0.987, half_width = 0.004, source = "Table 1" }\n'
RECORDED = {
    "repo": "https://github.com/cbfinn/maml",
    "commit": "a7f45f1",
    "command": "python main.py",
    "metric": "accuracy",
    "torch": "2.13.0",
    "values": [{"seed": 0, "value": 0.98}, {"seed": 1, "value": 0.99}, {"seed": 2, "value": 0.985}],
}


@pytest.fixture
def load(tmp_path):
    def write_and_load(claims=CLAIM, head=HEAD, recorded=None):
        (tmp_path / "paper.toml").write_text(head + claims, encoding="utf-8")
        if recorded is not None:
            text = recorded if isinstance(recorded, str) else json.dumps(recorded)
            (tmp_path / "runs.json").write_text(text, encoding="utf-8")
        return load_paper(tmp_path)

    return write_and_load


@pytest.fixture
def refusal(load):
    def message(*args, **kwargs):
        with pytest.raises(InputError) as caught:
            load(*args, **kwargs)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


def line_of(text, start):
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start))


def test_a_good_file_by_folder_and_by_file(load, tmp_path):
    paper = load()
    assert load_paper(tmp_path / "paper.toml") == paper
    assert (paper.id, paper.folder, paper.reference.licence) == ("maml", tmp_path, "MIT")
    claim = paper.claim("omniglot")
    assert claim.seeds == (0, 1)
    assert claim.published.source == "Table 1"
    assert claim.range == (0.0, 1.0)
    with pytest.raises(ValueError, match="frozen"):
        claim.margin = 1.0


def test_an_unknown_claim_lists_the_known_ones(load):
    with pytest.raises(InputError, match=r"'sinus'.*omniglot"):
        load().claim("sinus")


def test_target_and_margin_default_to_what_was_published(load):
    claim = load().claim("omniglot")
    assert (claim.target, claim.margin) == (0.987, 0.004)
    claim = load(CLAIM + "target = 0.98\nmargin = 0.01\n").claim("omniglot")
    assert (claim.target, claim.margin, claim.published.value) == (0.98, 0.01, 0.987)


def test_recorded_runs_are_target_and_margin_where_nothing_was_published(load):
    claim = load(CLAIM.replace(PUBLISHED, 'reference = { file = "runs.json" }\n'), recorded=RECORDED).claims[
        0
    ]
    assert claim.target is None
    assert claim.reference.sample == (0.98, 0.99, 0.985)
    assert claim.margin == pytest.approx(0.005)


def test_a_published_value_without_half_width_takes_the_margin_of_the_recorded_runs(load):
    published = PUBLISHED.replace("half_width = 0.004, ", "") + 'reference = { file = "runs.json" }\n'
    claim = load(CLAIM.replace(PUBLISHED, published), recorded=RECORDED).claims[0]
    assert (claim.target, claim.margin) == (0.987, pytest.approx(0.005))


def test_a_margin_says_its_reason_or_that_it_has_none(load):
    assert load().claim("omniglot").margin_reason == "no reason is stated"
    stated = load(CLAIM + 'margin_reason = "a third more errors"\n').claim("omniglot")
    assert stated.margin_reason == "a third more errors"


def test_every_reproduced_paper_states_its_margins():
    from fuxian.papers.find import reproduced_papers

    for paper in (folder.paper for folder in reproduced_papers()):
        for claim in paper.claims:
            assert "margin" in claim.model_fields_set, f"{paper.id}/{claim.id}"
            runs = 0 if claim.reference is None or claim.target is not None else len(claim.reference.values)
            assert claim.subject == "weights" or len(claim.seeds) >= runs, f"{paper.id}/{claim.id}"


def test_figures_are_shown_as_people_read_them(load):
    claim = load().claims[0]
    assert claim.show(0.98765) == "98.77 %"
    number = load(CLAIM.replace('display = "percent"\n', "")).claims[0]
    assert number.show(0.98765) == "0.9877"


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("direction = ", 'direction = "up"#', "direction", "'higher' or 'lower'"),
        ("checkpoint = ", 'checkpoint = "best-on-test"#', "checkpoint", "'best-on-validation'"),
        ("scope = ", 'scope = "scaled"#', "published", "never compared with the paper's figure"),
        (
            "published = ",
            'published = { value = 0.9, source = "" }#',
            "published.source",
            "at least 1 character",
        ),
        ("published = ", "published = { value = 0.9, half_width = 0.1 }#", "published.source", "missing"),
        ("published = ", 'published = { value = 0.9, source = "p" }#', "margin", "no margin can be had"),
        ("published = ", "#", "target", "nothing to reach"),
        ("published = ", 'published = { value = 98.7, source = "p" }#', "published", "not per cent"),
        ("published = ", 'published = { value = nan, source = "p" }#', "published.value", "finite"),
        ("published = ", 'published = { value = true, source = "p" }#', "published.value", "valid number"),
        ("iterations = ", "iterations = 0#", "iterations", "greater than 0"),
        ("iterations = ", 'iterations = "9"#', "iterations", "valid integer"),
        ("iterations = ", "iteration = 9#", "iterations", "missing"),
        ("seeds = ", "seeds = [1, 1]#", "seeds", "stands twice"),
        ("seeds = ", "seeds = []#", "seeds", "at least 1 item"),
        ("subject = ", 'subject = "weights"#', "seeds", "one run"),
        ("id = ", 'id = "../x"#', "id", "match pattern"),
        ("split = ", "margin = -0.1\nsplit = ", "margin", "greater than or equal to 0"),
        ("split = ", "margin = inf\nsplit = ", "margin", "finite"),
        ("split = ", "target = 1.5\nsplit = ", "target", "outside the metric's range"),
        ("split = ", "range = [1, 0]\nsplit = ", "range", "least figure first"),
        ("unit = ", 'capped = true\nunit = "points"#', "capped", "nothing to cap at"),
        (
            "published = ",
            'compared_with = "estimate"\nmargin = 0.1\npublished = { value = 0.9, source = "p" }#',
            "compared_with",
            "give published",
        ),
        (
            "split = ",
            'compared_with = "estimate"\ntarget = 0.98\nsplit = ',
            "compared_with",
            "no other target",
        ),
        ("split = ", 'margin_reason = ""\nsplit = ', "margin_reason", "at least 1 character"),
        ("split = ", "colour = 1\nsplit = ", "colour", "not a known field"),
        ("split = ", "quick = { iterations = 2, tasks = 3 }\nsplit = ", "quick.tasks", "not a known field"),
    ],
)
def test_a_bad_claim_names_file_line_and_field(refusal, old, new, field, says):
    claims = CLAIM.replace("\n" + old, "\n" + new, 1)
    message = refusal(claims)
    line = field.split(".")[0] + " = "
    stands = [n for n, text in enumerate((HEAD + claims).splitlines(), 1) if text.startswith(line)]
    expected = stands[-1] if stands else line_of(HEAD + claims, "[[claim]]")
    assert f"paper.toml, line {expected}: " in message
    assert f"field {field!r}: " in message
    assert says in message


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("year", 'year = "2017"#', "year", "valid integer"),
        ("url", 'url = "javascript:alert(1)"#', "url", "match pattern"),
        ("commit", 'commit = "main"#', "reference.commit", "match pattern"),
        ("licence", "#", "reference.licence", "missing"),
        ("venue", 'folder = "/"\nvenue', "folder", "not a known field"),
        ("venue", "#", "venue", "missing"),
    ],
)
def test_a_bad_head_names_its_line(refusal, old, new, field, says):
    head = HEAD.replace("\n" + old, "\n" + new, 1)
    message = refusal(head=head)
    assert f"field {field!r}: " in message
    assert says in message
    key = field.split(".")[-1]
    if says != "missing":
        assert f", line {line_of(head, key)}: " in message


def test_the_second_claim_is_named_with_its_own_lines(refusal):
    second = CLAIM.replace('"omniglot"\ntitle', '"second"\ntitle').replace(
        "iterations = 60000", "iterations = -1"
    )
    message = refusal(CLAIM + second)
    assert "claim 'second', field 'iterations'" in message
    assert f"line {len((HEAD + CLAIM + second).splitlines())}:" in message


def test_lines_inside_texts_and_subtables_do_not_mislead(refusal):
    nested = CLAIM.replace(PUBLISHED, 'notes = """\n[[claim]]\nmargin = 1\nsource = 2\n"""\n')
    nested += '\n[claim.published]\nvalue = 0.9\nhalf_width = 0.1\n# a comment\nsource = ""\n'
    message = refusal(nested)
    assert f"line {len((HEAD + nested).splitlines())}: " in message
    assert "field 'published.source'" in message


def test_claims_must_be_there_and_differ(refusal):
    assert "field 'claim': is missing" in refusal("")
    assert "two claims are called 'omniglot'" in refusal(CLAIM + CLAIM)
    assert "field 'claim'" in refusal("", head="claim = 3\n" + HEAD)
    assert "claim 1, field 'claim': should be a table" in refusal("", head="claim = [3]\n" + HEAD)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id = 'a'\nid = 'b'\n", "line 2"),
        ("id = 'a'\ntitle = \n", "line 2"),
        ("id = '''a\n\n", "line 2"),
        ("a = " + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_not_toml_names_the_line(refusal, text, says):
    message = refusal("", head=text)
    assert "this is not TOML" in message
    assert says in message


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_paper(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_paper(tmp_path / "no\0name")
    (tmp_path / "paper.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(InputError, match="UTF-8"):
        load_paper(tmp_path)
    (tmp_path / "paper.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(InputError, match="at most 1000000 bytes"):
        load_paper(tmp_path)


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "not a JSON object"),
        (RECORDED | {"metric": "loss"}, "records the metric 'loss'"),
        (RECORDED | {"values": RECORDED["values"][:1]}, "at least 2 items"),
        (RECORDED | {"values": RECORDED["values"] * 2}, "recorded twice"),
        (RECORDED | {"values": [{"seed": 0, "value": 98.0}, {"seed": 1, "value": 99.0}]}, "not per cent"),
        (
            RECORDED | {"values": [{"seed": 0, "value": 0.9}, {"seed": 1, "value": 0.9}]},
            "no margin can be had",
        ),
        (RECORDED | {"values": [{"seed": 0, "value": 0.9}, {"seed": 1, "value": float("nan")}]}, "finite"),
        ({key: RECORDED[key] for key in RECORDED if key != "command"}, "field 'command': is missing"),
    ],
)
def test_bad_recorded_runs(refusal, recorded, says):
    message = refusal(CLAIM.replace(PUBLISHED, 'reference = { file = "runs.json" }\n'), recorded=recorded)
    assert says in message


@pytest.mark.parametrize(
    "table", ['{ file = "../x.json" }', '{ file = "/etc/passwd" }', '{ file = "link.json" }']
)
def test_recorded_runs_stay_in_the_papers_folder(refusal, tmp_path, table):
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    message = refusal(CLAIM.replace(PUBLISHED, f"reference = {table}\n"))
    assert "leads out of the paper's folder" in message
    assert "field 'reference.file'" in message


@pytest.mark.parametrize("table", ["{ }", "{ file = 3 }", '{ file = "runs.json", values = [] }'])
def test_the_table_of_recorded_runs_names_a_file_alone(refusal, table):
    assert "field 'reference." in refusal(
        CLAIM.replace(PUBLISHED, f"reference = {table}\n"), recorded=RECORDED
    )


@patient
@given(st.text(max_size=300))
def test_any_text_is_a_paper_or_one_clear_sentence(tmp_path_factory, text):
    file = Path(tmp_path_factory.mktemp("any")) / "paper.toml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(InputError):
        load_paper(file)


@patient
@given(
    st.integers(0, len((HEAD + CLAIM).splitlines()) - 1),
    st.sampled_from(["", "x = ", "[[claim]]", "[a.b]", "}"]),
)
def test_any_line_spoilt_is_still_a_paper_or_one_clear_sentence(tmp_path_factory, number, line):
    lines = (HEAD + CLAIM).splitlines()
    lines[number] = line
    file = Path(tmp_path_factory.mktemp("spoilt")) / "paper.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    try:
        load_paper(file)
    except InputError as error:
        assert "paper.toml, line " in str(error)
