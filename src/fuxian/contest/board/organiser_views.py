"""What only organisers see, as plain data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select

from fuxian.contest.board.views import MOST, UNDECIDED, page, promise
from fuxian.contest.service.context import Actor, Context, require_organiser
from fuxian.contest.store.models import (
    Account,
    Cluster,
    Dispute,
    Event,
    Grant,
    Imported,
    Mail,
    Membership,
    Question,
    Rejudge,
    RejudgeItem,
    Submission,
    Team,
)


def waiting(at: Context, actor: Actor | None) -> dict[str, int]:
    """How much waits for a person, by kind."""
    require_organiser(actor)
    late = at.now() - promise(at)
    counts = {
        "review": select(func.count()).select_from(Submission).where(Submission.status == "review"),
        "late": select(func.count())
        .select_from(Submission)
        .where(Submission.status.in_(UNDECIDED), Submission.received_at < late),
        "disputes": select(func.count()).select_from(Dispute).where(Dispute.state == "open"),
        "questions": select(func.count()).select_from(Question).where(Question.answer.is_(None)),
        "rejudges": select(func.count())
        .select_from(Rejudge)
        .where(Rejudge.state.in_(("running", "compared"))),
        "duplicates": select(func.count()).select_from(Cluster).where(Cluster.state == "open"),
        "unconfirmed": select(func.count())
        .select_from(Account)
        .where(Account.confirmed_at.is_(None), Account.banned_at.is_(None)),
        "mails": select(func.count()).select_from(Mail).where(Mail.sent_at.is_(None)),
    }
    with at.database.read() as session:
        return {name: session.scalar(wanted) or 0 for name, wanted in counts.items()}


def accounts(at: Context, actor: Actor | None, *, search: str = "", after: int = 0) -> dict[str, Any]:
    """People, by id; ``search`` in name and e-mail address."""
    require_organiser(actor)
    limit, after = page(50, after)
    wanted = (
        select(Account, Team.id, Team.name)
        .outerjoin(Membership, Membership.account_id == Account.id)
        .outerjoin(Team, Team.id == Membership.team_id)
        .where(Account.id > after)
    )
    if search:
        word = search.strip()[:100]
        wanted = wanted.where(
            or_(
                Account.email.contains(word.lower(), autoescape=True),
                Account.name.contains(word, autoescape=True),
            )
        )
    with at.database.read() as session:
        rows = session.execute(wanted.order_by(Account.id).limit(limit + 1)).all()
        items = [
            {
                "id": row.id,
                "name": row.name,
                "email": row.email,
                "role": row.role,
                "affiliation": row.affiliation,
                "confirmed": row.confirmed_at is not None,
                "banned": row.ban_reason if row.banned_at is not None else None,
                "false_identity": row.false_identity,
                "identities": dict(row.identities),
                "team": team,
                "team_name": name,
            }
            for row, team, name in rows[:limit]
        ]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def teams(at: Context, actor: Actor | None, *, search: str = "", after: int = 0) -> dict[str, Any]:
    """Teams with their size, what they were granted, and why they were disqualified."""
    require_organiser(actor)
    limit, after = page(50, after)
    wanted = select(Team).where(Team.id > after)
    if search:
        wanted = wanted.where(Team.folded.contains(search.casefold()[:60], autoescape=True))
    with at.database.read() as session:
        rows = session.scalars(wanted.order_by(Team.id).limit(limit + 1)).all()
        ids = [row.id for row in rows]
        granted = dict(
            session.execute(
                select(Grant.team_id, func.sum(Grant.hours))
                .where(Grant.team_id.in_(ids))
                .group_by(Grant.team_id)
            )
            .tuples()
            .all()
        )
        sizes = dict(
            session.execute(
                select(Membership.team_id, func.count())
                .where(Membership.team_id.in_(ids))
                .group_by(Membership.team_id)
            )
            .tuples()
            .all()
        )
    items = [
        {
            "id": row.id,
            "name": row.name,
            "size": sizes.get(row.id, 0),
            "granted": granted.get(row.id, 0.0),
            "dissolved": row.dissolved_at is not None,
            "disqualified": row.disqualified_for,
        }
        for row in rows[:limit]
    ]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def grants(at: Context, actor: Actor | None) -> list[dict[str, Any]]:
    """The ledger, the newest first."""
    require_organiser(actor)
    with at.database.read() as session:
        rows = session.execute(
            select(Grant, Team.name)
            .join(Team, Team.id == Grant.team_id)
            .order_by(Grant.id.desc())
            .limit(MOST)
        )
        return [
            {
                "id": row.id,
                "team": row.team_id,
                "name": name,
                "hours": row.hours,
                "note": row.note,
                "at": row.at.isoformat(),
            }
            for row, name in rows
        ]


def rejudges(at: Context, actor: Actor | None) -> list[dict[str, Any]]:
    """The newest first, each with how many submissions were judged again."""
    require_organiser(actor)
    with at.database.read() as session:
        rows = session.execute(
            select(Rejudge, func.count(RejudgeItem.submission_id), func.count(RejudgeItem.after))
            .join(RejudgeItem, RejudgeItem.rejudge_id == Rejudge.id)
            .group_by(Rejudge.id)
            .order_by(Rejudge.id.desc())
            .limit(MOST)
        )
        return [
            {
                "id": row.id,
                "reason": row.reason,
                "state": row.state,
                "opened_at": row.opened_at.isoformat(),
                "submissions": count,
                "judged": judged,
            }
            for row, count, judged in rows
        ]


def imported(at: Context, actor: Actor | None) -> list[dict[str, Any]]:
    """What was read from the thread and the mails, and what became of it."""
    require_organiser(actor)
    with at.database.read() as session:
        rows = session.scalars(select(Imported).order_by(Imported.at.desc()).limit(MOST))
        return [{"kind": row.kind, "said": row.said, "at": row.at.isoformat()} for row in rows]


def whole_log(at: Context, actor: Actor | None, *, after: int = 0) -> list[dict[str, Any]]:
    """Events with their private parts: the newest, or those before the number ``after``."""
    require_organiser(actor)
    wanted = select(Event).order_by(Event.number.desc()).limit(50)
    if after:
        wanted = wanted.where(Event.number < after)
    with at.database.read() as session:
        return [
            {
                "number": row.number,
                "at": row.at.isoformat(),
                "kind": row.kind,
                "public": row.public,
                "private": row.private,
            }
            for row in session.scalars(wanted)
        ]
