"""A contest.toml says what is wrong with it."""

from dataclasses import replace

import pytest

from fuxian.contest.evaluation import check_terms
from fuxian.contest.place import create
from fuxian.contest.settings import EXAMPLES, example_file, load_contest
from fuxian.errors import InputError


@pytest.mark.parametrize("name", ["2021", "class"])
def test_examples_are_whole(name):
    contest = load_contest(example_file(name))
    assert contest.id == name
    assert all(text.zh and text.en for text in (contest.title, contest.about))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'timezone = "Asia/Shanghai"',
            'timezone = "Mars"',
            r"line 4: field 'timezone': 'Mars' is no time zone",
        ),
        ("number = 2", "number = 1", "two papers have the number 1"),
        (
            "2021-09-30T23:59:00+08:00",
            "2021-09-01T23:59:00+08:00",
            "submission_closes comes after registration",
        ),
        ("2021-09-30T23:59:00+08:00", "2021-09-30T23:59:00", "timezone"),
        ("attempts_per_day = 3", "attempts_per_week = 3", "not a known field"),
        ("alpha = 0.05", "alpha = 0.7", "alpha"),
        ('claim = "maml/omniglot-5way-1shot"', 'terms = "../../x.toml"', "terms"),
        ("id = ", "id ", "not TOML"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, old, new, said):
    text = (EXAMPLES / "2021" / "contest.toml").read_text(encoding="utf-8")
    file = tmp_path / "contest.toml"
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        load_contest(tmp_path)


def test_unknown_examples_and_papers_are_named():
    with pytest.raises(InputError, match="2021, class"):
        example_file("2022")
    with pytest.raises(InputError, match="1 maml"):
        load_contest(example_file("class")).find_paper("bert")


def test_terms_that_cannot_be_read_stop_the_server_and_no_submission(tmp_path):
    at = create(tmp_path / "contest", "class")
    try:
        check_terms(at)
        file = at.folder / "terms.toml"
        file.write_text('paper = "maml"\nwaive = ["training"]\n')
        papers = [at.contest.paper[0].model_copy(update={"claim": None, "terms": "terms.toml"})]
        wrong = replace(at, contest=at.contest.model_copy(update={"paper": papers}))
        with pytest.raises(InputError, match=r"terms\.toml, line 2.*'training' is no line of the checklist"):
            check_terms(wrong)
    finally:
        at.database.close()
