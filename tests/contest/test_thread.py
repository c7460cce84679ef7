"""The old thread: replies as people write them, and the table as it was kept."""

import json
from datetime import timedelta

import pytest
from arena import CONTEST, OPENS

from fuxian.contest.audit import audit_database
from fuxian.contest.board import thread as tables
from fuxian.contest.board.thread import state
from fuxian.contest.service import intake
from fuxian.contest.settings import Sources
from fuxian.contest.thread import Comment, Reply, Unusable, read_comments, replies
from fuxian.errors import InputError

GOOD = """【队名】：Few Shots

【序号】：1

【论文】：Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks

【状态】：报名

【repo链接】：https://github.com/us/maml-paddle
"""


def parse(body):
    return replies(CONTEST, Comment("us", None, body, "here"))


@pytest.mark.parametrize(
    ("change", "tries"),
    [
        (lambda t: t, 0),
        (lambda t: t.replace("：", ""), 0),
        (lambda t: t.replace("：", ":"), 0),
        (lambda t: t.replace("：", "： \n\n"), 0),
        (lambda t: t.replace("报名", "报名&&提交"), 1),
        (lambda t: t.replace("报名", " 报名 & 提交"), 1),
        (lambda t: t.replace("报名", "**报名&提交**"), 1),
        (lambda t: t.replace("报名", "报名&提交1失败&提交2"), 2),
        (lambda t: t.replace("【序号】：1", "【序号】：MAML").replace("【论文】：Model", "【论文】：x"), 0),
        (lambda t: t.replace("【序号】：1", "【序号】：#1"), 0),
        (
            lambda t: t.replace(
                "https://github.com/us/maml-paddle", "[repo](https://github.com/us/maml-paddle.git)"
            ),
            0,
        ),
        (lambda t: "报个名！\n" + t.replace("【repo链接】", "【 repo 链接 】"), 0),
    ],
)
def test_replies_are_read_with_their_faults(change, tries):
    found = parse(change(GOOD))
    assert found == [Reply("Few Shots", CONTEST.find_paper(1), "https://github.com/us/maml-paddle", tries)]


def test_number_and_title_may_be_swapped():
    swapped = GOOD.replace("【序号】：1", "【序号】：MAML").replace(
        "【论文】：Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", "【论文】：1"
    )
    assert parse(swapped)[0].paper.id == "maml"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.replace("：1\n", "：999\n"), "no paper '999'"),
        (lambda t: t.replace("https://github.com/us/maml-paddle", "https://github.com/us"), "no repository"),
        (lambda t: t.replace("https://github.com/us/maml-paddle", "稍后"), "no repository"),
        (lambda t: t.replace("报名", "加油"), "state"),
        (lambda t: t.replace("Few Shots", ""), "no team"),
        (lambda t: t * 500, "longer"),
    ],
)
def test_what_cannot_be_used_has_a_reason(change, why):
    found = parse(change(GOOD))
    assert len(found) == 1
    assert isinstance(found[0], Unusable) and why in found[0].en and found[0].zh


def test_what_is_no_reply_is_left_alone_and_two_replies_are_two():
    assert parse("请问数据集在哪里？") == []
    assert len(parse(GOOD + GOOD.replace("Few Shots", "Inner Loop"))) == 2


def comments(tmp_path, *bodies):
    rows = [
        {
            "user": {"login": f"user{number}"},
            "created_at": (OPENS + timedelta(hours=number)).isoformat(),
            "body": body,
        }
        for number, body in enumerate(bodies, 1)
    ]
    file = tmp_path / "comments.json"
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return read_comments(file)


def test_import_is_idempotent_and_says_what_became_of_each(arena, tmp_path):
    arena.time = OPENS + timedelta(days=3)
    arena.at = arena.with_sources(mail=False)
    bodies = [
        GOOD,
        GOOD.replace("Few Shots", "Inner Loop").replace("：1\n", "：999\n"),
        GOOD.replace("报名", "报名&提交"),
        GOOD.replace("Few Shots", "Inner Loop").replace("github.com/us", "github.com/them"),
    ]
    read = comments(tmp_path, *bodies)
    first = intake.import_thread(arena.at, read)
    assert [line.used for line in first] == [True, False, True, True]
    assert "received as #1" in first[2].said
    again = intake.import_thread(arena.at, read)
    assert [line.used for line in again] == [True, False, True, True]
    assert arena.statuses() == ["queued"]
    assert not audit_database(arena.at.contest, arena.database).wrong


def test_replies_outside_their_window_are_refused_by_the_time_of_the_post(arena):
    late = CONTEST.schedule.registration_closes + timedelta(minutes=1)
    arena.time = late + timedelta(days=30)
    line = intake.import_thread(arena.at, [Comment("us", late, GOOD, "here")])[0]
    assert not line.used and "closed" in line.said
    early = Comment("us", OPENS + timedelta(hours=1), GOOD, "here")
    assert intake.import_thread(arena.at, [early])[0].used
    assert not audit_database(arena.at.contest, arena.database).wrong


def test_the_table_is_as_it_was_kept(arena, tmp_path):
    arena.at = arena.with_sources(mail=False)
    arena.time = OPENS + timedelta(days=3)
    assert isinstance(arena.at.contest.sources, Sources)
    intake.import_thread(
        arena.at,
        comments(
            tmp_path,
            GOOD.replace("报名", "报名&提交"),
            GOOD.replace("Few Shots", "Inner | Loop").replace("github.com/us", "github.com/them"),
        ),
    )
    title = "[Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks](https://arxiv.org/abs/1703.03400)"
    cells = (
        "Few Shots(**报名&提交**)([maml-paddle](https://github.com/us/maml-paddle))"
        "</br>Inner \\| Loop(报名)([maml-paddle](https://github.com/them/maml-paddle))"
    )
    lines = tables.table(arena.at).splitlines()
    assert lines[0] == "| 序号 | 论文名称 | 难度 | 队伍名称(状态)(repo) | 相关ISSUE | 获胜队伍&repo |"
    assert lines[2] == f"| 1 | {title} | ⭐️⭐️ | {cells} |   |   |"
    arena.pinned()
    arena.rule("accepted")
    assert (
        tables.table(arena.at).splitlines()[2] == f"| ~~1~~ | ~~{title}~~ | ⭐️⭐️ | {cells} |   | Few Shots |"
    )


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        ([], "报名"),
        (["queued"], "报名&提交"),
        (["won"], "报名&提交"),
        (["rejected"], "报名&提交1失败"),
        (["rejected", "queued"], "报名&提交1失败&提交2"),
        (["rejected", "rejected", "won"], "报名&提交1失败&提交2失败&提交3"),
    ],
)
def test_tries_are_counted_as_in_the_thread(tries, said):
    assert state(tries) == said


def test_pasted_text_is_read(tmp_path):
    file = tmp_path / "pasted.txt"
    file.write_text(
        f"us · comment · 2021-08-14\n{GOOD}\nthem · comment · 2021-08-15\n没有问题\n", encoding="utf-8"
    )
    read = read_comments(file)
    assert [(one.author, one.at.day) for one in read] == [("us", 14)]


@pytest.mark.parametrize("text", ["[", "{}", "[1]", '[{"user": {"login": "x"}, "body": 3}]', "[" * 100_000])
def test_what_is_no_export_is_one_sentence(tmp_path, text):
    file = tmp_path / "comments.json"
    file.write_text(text)
    with pytest.raises(InputError):
        read_comments(file)
