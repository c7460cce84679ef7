"""Challenges, appeals and rejudges."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fuxian.contest import jobs
from fuxian.contest.rules import disputes as rules
from fuxian.contest.rules.race import Ruling
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.context import (
    Actor,
    Context,
    members_of,
    missing,
    note,
    notify,
    paragraph,
    require_account,
    require_organiser,
    team_of,
)
from fuxian.contest.service.race import entry_of, next_kind, record_ruling, settle
from fuxian.contest.service.teams import own_team
from fuxian.contest.store.models import Dispute, Rejudge, RejudgeItem, Submission, Team


def dispute(at: Context, actor: Actor | None, id: int, text: str) -> int:
    """A challenge of another team's ruling, or an appeal against one's own."""
    with at.database.write() as session:
        account = require_account(session, actor)
        team = own_team(session, account.id)
        submission = session.get(Submission, id)
        if submission is None:
            raise missing("submission", "提交")
        own = submission.team_id == team.id
        rules.require_dispute(at.contest, at.now(), submission.ruled_at, own, text)
        row = Dispute(
            submission_id=id,
            team_id=team.id,
            kind="appeal" if own else "challenge",
            text=paragraph(text),
            opened_at=at.now(),
        )
        session.add(row)
        session.flush()
        note(
            at,
            session,
            "dispute.opened",
            {"dispute": row.id, "kind": row.kind, "submission": id, "number": submission.number},
            {"team": team.id, "text": row.text},
        )
        return row.id


def answer_dispute(at: Context, actor: Actor | None, id: int, *, holds: bool, reasons: str) -> int | None:
    """By an organiser, with reasons on record. One that holds is a rejudge, whose number is returned."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Dispute, id)
        if row is None or row.state != "open":
            raise missing("open challenge or appeal", "待处理的异议")
        row.answer, row.answered_by, row.answered_at = paragraph(reasons), acting.account, at.now()
        row.state = "upheld" if holds else "dismissed"
        note(
            at,
            session,
            "dispute.answered",
            {"dispute": id, "state": row.state, "by": acting.account, "reasons": row.answer},
        )
        notify(
            at,
            session,
            members_of(session, row.team_id),
            zh=f"异议 {id}：{'成立，将重新评测' if holds else '不成立'}。{row.answer}",
            en=f"Dispute {id} {'holds and is judged again' if holds else 'was dismissed'}: {row.answer}",
            link=f"/submissions/{row.submission_id}",
        )
        if holds:
            row.rejudge_id = _open(at, session, acting, [row.submission_id], row.answer)
        return row.rejudge_id


def open_rejudge(at: Context, actor: Actor | None, submissions: list[int], reason: str) -> int:
    """By an organiser: these submissions are judged again; nothing changes until it is applied."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        return _open(at, session, acting, submissions, paragraph(reason))


def _open(at: Context, session: Session, acting: Actor, submissions: list[int], reason: str) -> int:
    rows = session.scalars(select(Submission).where(Submission.id.in_(submissions))).all()
    if not rows or len(rows) < len(set(submissions)):
        raise missing("submission", "提交")
    row = Rejudge(reason=reason, state="running", opened_by=acting.account, opened_at=at.now())
    session.add(row)
    session.flush()
    for submission in rows:
        if submission.number is None or submission.bundle is None:
            raise Refused(
                "not_pinned",
                en=f"submission {submission.id} was never verified; there is nothing to judge again.",
                zh=f"提交 {submission.id} 从未验收，无法重新评测。",
            )
        session.add(RejudgeItem(rejudge_id=row.id, submission_id=submission.id, before=submission.ruling))
        jobs.enqueue(session, at.now(), submission.id, next_kind(submission), submission.look, row.id)
    note(
        at,
        session,
        "rejudge.opened",
        {
            "rejudge": row.id,
            "submissions": sorted(submission.id for submission in rows),
            "by": acting.account,
            "reason": reason,
        },
    )
    return row.id


def comparison(at: Context, actor: Actor | None, id: int) -> dict[str, Any]:
    """What applying would change, by paper."""
    require_organiser(actor)
    with at.database.read() as session:
        row = session.get(Rejudge, id)
        if row is None:
            raise missing("rejudge", "重新评测")
        items = {
            item.submission_id: item
            for item in session.scalars(select(RejudgeItem).where(RejudgeItem.rejudge_id == id))
        }
        papers: dict[str, Any] = {}
        touched = {session.get_one(Submission, one).paper for one in items}
        for paper in sorted(touched):
            pairs = session.execute(
                select(Submission, Team)
                .join(Team, Team.id == Submission.team_id)
                .where(Submission.paper == paper, Submission.number.is_not(None))
            ).all()
            anew = {
                submission.number: Ruling(items[submission.id].after or submission.ruling)
                for submission, _ in pairs
                if submission.id in items
            }
            difference = rules.compare([entry_of(*pair) for pair in pairs], anew)  # type: ignore[arg-type]
            papers[paper] = {
                "winner_before": difference.before.winner,
                "winner_after": difference.after.winner,
                "changed": {str(number): list(pair) for number, pair in difference.changed.items()},
            }
        return {
            "rejudge": id,
            "reason": row.reason,
            "state": row.state,
            "items": [
                {
                    "submission": item.submission_id,
                    "before": item.before,
                    "after": item.after,
                    "reason": item.reason,
                    "detail": item.detail,
                }
                for item in items.values()
            ],
            "papers": papers,
        }


def apply_rejudge(at: Context, actor: Actor | None, id: int) -> None:
    """By an organiser: the new rulings stand, and each paper's race is replayed with them."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Rejudge, id)
        if row is None:
            raise missing("rejudge", "重新评测")
        rules.require_open_rejudge(rules.RejudgeState(row.state), rules.RejudgeState.applied)
        row.state, row.ended_at = "applied", at.now()
        note(at, session, "rejudge.applied", {"rejudge": id, "by": acting.account})
        papers = set()
        for item in session.scalars(select(RejudgeItem).where(RejudgeItem.rejudge_id == id)).all():
            submission = session.get_one(Submission, item.submission_id)
            assert item.after is not None  # noqa: S101 - compared means that every one is there
            jobs.cancel(session, at.now(), submission.id)
            record_ruling(
                at,
                session,
                submission,
                Ruling(item.after),
                item.reason or "",
                item.detail or "",
                f"rejudge {id}",
            )
            papers.add(submission.paper)
        session.flush()
        for paper in sorted(papers):
            settle(at, session, paper, everything=True)


def cancel_rejudge(at: Context, actor: Actor | None, id: int) -> None:
    """By an organiser: nothing changes."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Rejudge, id)
        if row is None:
            raise missing("rejudge", "重新评测")
        rules.require_open_rejudge(rules.RejudgeState(row.state), rules.RejudgeState.cancelled)
        row.state, row.ended_at = "cancelled", at.now()
        for item in session.scalars(select(RejudgeItem).where(RejudgeItem.rejudge_id == id)):
            jobs.cancel(session, at.now(), item.submission_id, id)
        note(at, session, "rejudge.cancelled", {"rejudge": id, "by": acting.account})


def of_submission(at: Context, actor: Actor | None, id: int) -> list[dict[str, Any]]:
    """What was said against a submission's ruling. The text is its team's and the organisers' alone."""
    with at.database.read() as session:
        team = None if actor is None else team_of(session, actor.account)
        sees_all = actor is not None and actor.is_organiser
        return [
            {
                "id": row.id,
                "kind": row.kind,
                "state": row.state,
                "opened_at": row.opened_at.isoformat(),
                "text": row.text if sees_all or row.team_id == team else None,
                "answer": row.answer,
                "answered_at": None if row.answered_at is None else row.answered_at.isoformat(),
                "rejudge": row.rejudge_id,
            }
            for row in session.scalars(
                select(Dispute).where(Dispute.submission_id == id).order_by(Dispute.id).limit(100)
            )
        ]


def can_dispute(at: Context, actor: Actor | None, id: int) -> bool:
    """Whether the actor's team could challenge or appeal against the ruling now."""
    if actor is None:
        return False
    with at.database.read() as session:
        submission = session.get(Submission, id)
        team = team_of(session, actor.account)
        if submission is None or team is None:
            return False
        try:
            own = submission.team_id == team
            rules.require_dispute(at.contest, at.now(), submission.ruled_at, own, "evidence")
        except Refused:
            return False
    return True


def listed(at: Context, actor: Actor | None, state: str) -> list[dict[str, Any]]:
    """Challenges and appeals, for an organiser."""
    require_organiser(actor)
    with at.database.read() as session:
        rows = session.scalars(select(Dispute).where(Dispute.state == state).order_by(Dispute.id).limit(200))
        return [
            {
                "id": row.id,
                "submission": row.submission_id,
                "team": row.team_id,
                "kind": row.kind,
                "text": row.text,
                "opened_at": row.opened_at.isoformat(),
                "state": row.state,
                "answer": row.answer,
                "rejudge": row.rejudge_id,
            }
            for row in rows
        ]
