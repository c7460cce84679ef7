"""README, requirements, licence, layout, lite_data."""

import pytest

from fuxian.submission.checklist import check
from fuxian.submission.checklist.documents import headings_of


def finding(folder, id):
    return next(line for line in check(folder) if line.id == id)


ENGLISH = [
    "Introduction",
    "Results",
    "Dataset",
    "Environment",
    "Quick start",
    "Code structure",
    "Model information",
]
CHINESE = [
    "一、简介",
    "二、复现精度",
    "三、数据集",
    "四、环境依赖",
    "五、快速开始",
    "六、代码结构与详细说明",
    "七、模型信息",
]


@pytest.mark.parametrize("headings", [ENGLISH, CHINESE])
@pytest.mark.parametrize("name", ["README.md", "README_cn.md"])
def test_both_outlines_in_both_languages(submission, headings, name):
    (submission / "README.md").write_text("# x\n")
    (submission / name).write_text(
        "".join(f"## {number}. {text}\n\n" for number, text in enumerate(headings, 1))
    )
    assert finding(submission, "readme").status == "pass"
    (submission / name).write_text("".join(f"## {text}\n" for text in headings[:-1]))
    assert "模型信息" in finding(submission, "readme").what


def test_headings_in_code_do_not_count():
    text = "Top\n===\n```sh\n# not one\n```\n## One ##\n~~~\n# no\n```\n# no\n~~~\n  # Two\n#no\n"
    assert headings_of(text) == [(1, "Top"), (6, "One"), (12, "Two")]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("paddlepaddle\n-e .\n", 2, "-e"),
        ("paddlepaddle\n--index-url https://x\n", 2, "--index-url"),
        ("paddlepaddle\ngit+https://github.com/a/b\n", 2, "git+"),
        ("paddlepaddle\nfoo @ https://x/y.whl\n", 2, "URL"),
        ("# paddlepaddle\nnumpy\n", 1, "not named"),
        ("paddlenlp\n", 1, "not named"),
        ("paddlepaddle\nfuxian\n", 2, "on no index"),
        ("--find-links wheels\npaddlepaddle\n", 1, "no wheel"),
        ("--find-links ../wheels\npaddlepaddle\n", 1, "no wheel"),
    ],
)
def test_requirements_that_cannot_be_installed_from_wheels(submission, text, line, says):
    (submission / "requirements.txt").write_text(text)
    found = finding(submission, "requirements")
    assert (found.status, found.line) == ("fail", line)
    assert says in found.what


def test_a_wheel_that_is_carried_resolves_what_no_index_has(submission):
    (submission / "requirements.txt").write_text("--find-links wheels\npaddlepaddle\nfuxian>=0.1\n")
    (submission / "wheels").mkdir()
    (submission / "wheels/fuxian-0.1.0-py3-none-any.whl").write_bytes(b"PK")
    found = finding(submission, "requirements")
    assert found.status == "pass" and "fuxian as a wheel" in found.what
    (submission / "requirements.txt").write_text("--find-links wheels\npaddlepaddle\nfuxian>=0.2\n")
    found = finding(submission, "requirements")
    assert (found.status, found.line) == ("fail", 3)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "The Mixers"', 'name = "Your team"', "team.name"),
        ('members = ["Ada", "Bo"]', 'members = ["Your name"]', "team.members"),
        ('number = "42"', 'number = "0"', "team.number"),
        ("github.com/mixers/mixer", "github.com/your-name/mixer", "team.repo"),
        ("year = 2021", "year = 1900", "paper.year"),
        ("iterations = 100", 'iterations = 100\nnotes = "The task of the template."', "claim top1: notes"),
        ('title = "Digits, top-1 accuracy"', 'title = "fill in"', "claim top1: title"),
        ("https://arxiv.org/abs/2105.01601", "https://example.org/the-paper", "paper.url"),
    ],
)
def test_what_is_left_of_a_template_is_named(submission, edit, old, new, named):
    assert finding(submission, "placeholders").status == "pass"
    edit("fuxian.toml", old, new)
    found = finding(submission, "placeholders")
    assert found.status == "fail" and named in found.what


def test_a_readme_of_a_template_is_named(submission):
    with (submission / "README.md").open("a") as file:
        file.write("Write to you@example.org\n")
    found = finding(submission, "placeholders")
    assert (found.status, found.file) == ("fail", "README.md") and found.line


def test_the_record_of_the_templates_reference_is_named(submission):
    (submission / "reference").mkdir()
    text = 'record = {"repo": "https://example.org: the repository of the reference"}\n'
    (submission / "reference/run.py").write_text(text)
    found = finding(submission, "placeholders")
    assert (found.status, found.file, found.line) == ("fail", "reference/run.py", 1)


def test_names_are_in_snake_case(submission):
    (submission / "mixer/my-model.py").write_text("# Copyright me\n")
    assert finding(submission, "layout").file == "mixer/my-model.py"


def test_lite_data_is_small(submission):
    with (submission / "lite_data/all.csv").open("wb") as file:
        file.truncate(20_000_001)
    assert finding(submission, "lite-data").file == "lite_data/all.csv"


def test_another_licence_is_what_the_manifest_says(submission, edit):
    (submission / "LICENSE").write_text("MIT License\n" + "Permission is hereby granted " * 20)
    assert finding(submission, "licence").status == "fail"
    edit("fuxian.toml", "Apache-2.0", "MIT")
    assert finding(submission, "licence").status == "pass"
