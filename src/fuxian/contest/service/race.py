"""Brings a paper's race up to date after anything that could change it, within the same transaction."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from fuxian.contest import jobs
from fuxian.contest.rules.eligibility import Affiliation, Person, is_ranked
from fuxian.contest.rules.race import Entry, Ruling, Status, standings
from fuxian.contest.service import tallies
from fuxian.contest.service.context import Context, members_of, note, notify
from fuxian.contest.store.models import (
    Account,
    Judgement,
    StatusChange,
    Submission,
    SubmissionPerson,
    Team,
    Winner,
)

OPEN = ("queued", "review", "provisional", "won")
"""Rows that a new ruling can change; the others tell nothing (tests/contest/rules/test_race.py)."""
SAID = {
    Status.queued: ("重新排队等待验收", "is in the queue again"),
    Status.review: ("无法自动裁定，由工作人员裁定", "could not be decided automatically; a person decides"),
    Status.provisional: (
        "达到精度；更早的提交尚未裁定，暂定",
        "reached the accuracy; provisional while an earlier submission is undecided",
    ),
    Status.won: ("最先达到精度，获胜", "reached the accuracy first and wins"),
    Status.rejected: ("未通过验收", "was not accepted"),
    Status.void: ("该论文已有队伍达到精度，提交无效", "is void: another team reached the accuracy first"),
    Status.withdrawn: ("已撤回", "was withdrawn"),
    Status.unranked: ("达到精度，不参与排名", "reached the accuracy, out of competition"),
    Status.disqualified: ("队伍被取消资格", "is disqualified"),
}


def status_said(submission: Submission) -> dict[str, str] | None:
    """What a submission's status means, as ``{"zh": ..., "en": ...}``; None before it is in the race."""
    if submission.number is None or submission.status not in set(SAID):
        return None
    zh, en = SAID[Status(submission.status)]
    return {"zh": f"提交 #{submission.number}：{zh}", "en": f"Submission #{submission.number} {en}"}


def entry_of(submission: Submission, team: Team) -> Entry:
    assert submission.number is not None  # noqa: S101 - incomplete ones are not in the race
    return Entry(
        submission.number,
        submission.team_id,
        Ruling(submission.ruling),
        ranked=submission.ranked,
        disqualified=team.disqualified_at is not None,
    )


def settle(at: Context, session: Session, paper: str, *, everything: bool = False) -> None:
    """Every entry's status, the winner and the void ones, from the rulings as they are now.

    ``everything`` replays the whole race, for what may take a win away again; otherwise decided entries are not read.
    """
    where = [Submission.paper == paper, Submission.number.is_not(None)]
    if not everything:
        where.append(Submission.status.in_(OPEN))
    rows = session.execute(
        select(Submission, Team)
        .join(Team, Team.id == Submission.team_id)
        .where(*where)
        .order_by(Submission.number)
    ).all()
    standing = standings(entry_of(submission, team) for submission, team in rows)
    by_number = {submission.number: submission for submission, _ in rows}

    old = session.get(Winner, paper)
    new = None if standing.winner is None else by_number[standing.winner]
    if old is not None and (new is None or old.submission_id != new.id):
        note(at, session, "winner.revoked", {"paper": paper, "submission": old.submission_id})
        session.delete(old)
        session.flush()
        old = None
    for number, status in standing.status.items():
        submission = by_number[number]
        if submission.status != status:
            _change(at, session, submission, status)
    if new is not None and old is None:
        session.add(Winner(paper=paper, submission_id=new.id, at=at.now()))
        note(
            at,
            session,
            "winner.declared",
            {"paper": paper, "submission": new.id, "number": new.number, "team": new.team_id},
        )


def _change(at: Context, session: Session, submission: Submission, status: Status) -> None:
    tallies.count(at, session, submission.paper, submission.status, -1)
    tallies.count(at, session, submission.paper, status.value)
    submission.status = status.value
    session.add(StatusChange(submission_id=submission.id, at=at.now(), status=status.value))
    note(
        at,
        session,
        "submission.status",
        {"submission": submission.id, "number": submission.number, "status": status.value},
    )
    if status is Status.queued:
        # It was void and nobody had ruled on it, or a disqualification was lifted.
        jobs.enqueue(session, at.now(), submission.id, next_kind(submission), submission.look)
    else:
        jobs.cancel(session, at.now(), submission.id)
    if status not in (Status.queued, Status.review, Status.provisional):
        open_secret(at, session, submission)
    said = status_said(submission)
    assert said is not None  # noqa: S101 - the race knows no other status
    members = members_of(session, submission.team_id)
    notify(at, session, members, **said, link=f"/submissions/{submission.id}")


def next_kind(submission: Submission) -> str:
    return jobs.PIN if submission.bundle is None else jobs.VERIFY


def open_secret(at: Context, session: Session, submission: Submission) -> None:
    """Lets everybody draw the same tests again, once the ruling is final."""
    if not submission.secret_opened and submission.secret is not None:
        submission.secret_opened = True
        note(at, session, "secret.opened", {"submission": submission.id, "secret": submission.secret})


def record_ruling(
    at: Context, session: Session, submission: Submission, ruling: Ruling, reason: str, detail: str, by: str
) -> None:
    """The ruling and its event; ``settle`` follows."""
    submission.ruling, submission.reason, submission.detail = ruling.value, reason, detail
    submission.ruled_at = at.now()
    note(
        at,
        session,
        "submission.ruled",
        {
            "submission": submission.id,
            "number": submission.number,
            "paper": submission.paper,
            "team": submission.team_id,
            "ruling": ruling.value,
            "reason": reason,
            "by": by,
        },
        {"detail": detail},
    )


def ranked_now(session: Session, people: Iterable[int]) -> bool:
    """Whether a team of these people is ranked."""
    rows = session.scalars(select(Account).where(Account.id.in_(list(people)))).all()
    return is_ranked(
        Person(Affiliation(row.affiliation), row.banned_at is not None, row.false_identity) for row in rows
    )


def settle_all_of_team(at: Context, session: Session, team: int) -> None:
    """After a change of who the team's people are: every paper that it has submitted on, replayed."""
    touched = set()
    for submission in session.scalars(
        select(Submission).where(Submission.team_id == team, Submission.number.is_not(None))
    ):
        people = session.scalars(
            select(SubmissionPerson.account_id).where(SubmissionPerson.submission_id == submission.id)
        ).all()
        ranked = ranked_now(session, people)
        if ranked != submission.ranked:
            submission.ranked = ranked
            note(
                at,
                session,
                "submission.ranked",
                {"submission": submission.id, "number": submission.number, "ranked": ranked},
            )
        touched.add(submission.paper)
    session.flush()
    for paper in sorted(touched):
        settle(at, session, paper, everything=True)


def judgements_of(session: Session, submission: int) -> list[Judgement]:
    return list(
        session.scalars(select(Judgement).where(Judgement.submission_id == submission).order_by(Judgement.id))
    )
