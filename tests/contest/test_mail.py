"""The two mails of the old way, and that a submission needs reply and mail."""

from datetime import timedelta
from email.message import EmailMessage
from email.utils import format_datetime

import pytest
from arena import OPENS
from hypothesis import given
from hypothesis import strategies as st
from test_thread import GOOD

from fuxian.contest.mail import Letter, NotOurs, read_mails
from fuxian.contest.service import intake
from fuxian.contest.thread import Comment

COMMIT = "c" * 40


def mail(subject, body, at=OPENS + timedelta(days=1)):
    message = EmailMessage()
    message["From"], message["To"] = "Us <us@example.org>", "organiser@example.org"
    message["Subject"], message["Date"] = subject, format_datetime(at)
    message.set_content(body)
    return message.as_bytes()


SUBMISSION = mail(
    "【论文复现】【1】Few Shots：提交",
    f"代码仓库：https://github.com/us/maml-paddle\n验收命令：fuxian verify https://github.com/us/maml-paddle@{COMMIT}\n",
)
REFERENCE = mail(
    "[Paper reproduction] [1] Few Shots: the reference code runs", "Predictions: accuracy_after_10 98.70 %\n"
)


def read(tmp_path, raw, name="one.eml"):
    (tmp_path / name).write_bytes(raw)
    return read_mails(tmp_path / name)


def test_both_templates_are_read(tmp_path):
    one = read(tmp_path, SUBMISSION)[0]
    assert isinstance(one, Letter)
    assert (one.kind, one.paper, one.team, one.commit) == ("submission", "1", "Few Shots", COMMIT)
    assert (one.sender, one.repo) == ("us@example.org", "https://github.com/us/maml-paddle")
    other = read(tmp_path, REFERENCE)[0]
    assert (other.kind, other.team) == ("reference", "Few Shots")
    assert other.figure == pytest.approx(0.987)


def test_an_mbox_is_read_and_what_is_not_ours_has_a_reason(tmp_path):
    box = b"".join(
        b"From us Fri Aug 13 2021\n" + raw for raw in (SUBMISSION, mail("你好", "hello"), REFERENCE)
    )
    found = read(tmp_path, box, "all.mbox")
    assert [type(one) for one in found] == [Letter, NotOurs, Letter]
    assert "not that of a template" in found[1].why


@pytest.mark.parametrize("order", [("thread", "mail"), ("mail", "thread")])
def test_a_submission_is_complete_with_reply_and_mail(arena, tmp_path, order):
    arena.time = OPENS + timedelta(days=5)
    intake.import_thread(arena.at, [Comment("us", OPENS + timedelta(hours=1), GOOD, "here")])
    reply = Comment("us", OPENS + timedelta(days=2), GOOD.replace("报名", "报名&提交"), "here")
    steps = {
        "thread": lambda: intake.import_thread(arena.at, [reply]),
        "mail": lambda: intake.import_mails(arena.at, read(tmp_path, SUBMISSION)),
    }
    assert "it is complete with" in steps[order[0]]()[0].said
    assert arena.statuses() == ["incomplete"]
    assert "received as #1" in steps[order[1]]()[0].said
    assert arena.statuses() == ["queued"]
    assert all(steps[name]()[0].used for name in order)
    assert arena.statuses() == ["queued"]


def test_a_reference_run_by_mail_and_an_unknown_team(arena, tmp_path):
    arena.time = OPENS + timedelta(days=5)
    letters = read(tmp_path, REFERENCE)
    assert "not registered" in intake.import_mails(arena.at, letters)[0].said
    intake.import_thread(arena.at, [Comment("us", OPENS + timedelta(hours=1), GOOD, "here")])
    assert "holds" in intake.import_mails(arena.at, letters)[0].said


@given(st.binary(max_size=300))
def test_broken_mails_are_reported_and_never_raise(tmp_path_factory, raw):
    folder = tmp_path_factory.mktemp("mail")
    for prefix in (b"", b"Subject: =?utf-8?b?", b"From x\n"):
        assert all(isinstance(one, Letter | NotOurs) for one in read(folder, prefix + raw))
