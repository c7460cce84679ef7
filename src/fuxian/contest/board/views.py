"""The public views as plain data: the pages, the API and the command line show the same."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session

from fuxian.contest import jobs
from fuxian.contest.board.criterion import criterion
from fuxian.contest.service import tallies
from fuxian.contest.service.context import Actor, Context, missing, team_of
from fuxian.contest.service.race import status_said
from fuxian.contest.service.submissions import commitment, may_see, queue_place
from fuxian.contest.settings import Paper
from fuxian.contest.store.database import Database
from fuxian.contest.store.log import Link
from fuxian.contest.store.models import (
    Account,
    Dispute,
    Event,
    Grant,
    Job,
    Judgement,
    Membership,
    MergeOffer,
    Registration,
    StatusChange,
    Submission,
    Team,
    Winner,
    Worker,
)

MOST = 200
"""Rows of one page of any list."""
UNDECIDED = ("queued", "review", "provisional")


def page(limit: int, after: int) -> tuple[int, int]:
    """A list's limits, whatever was asked for."""
    return min(max(limit, 1), MOST), max(after, 0)


_boards: WeakKeyDictionary[Database, tuple[int, dict[datetime | None, list[dict[str, Any]]]]] = (
    WeakKeyDictionary()
)
"""The papers of the board, today (None) and at moments that were asked for, and the event up to which they hold: every
change of state is an event."""
MOST_BOARDS = 64


def board(at: Context, *, day: datetime | None = None) -> dict[str, Any]:
    """Every paper with its race in figures; ``day`` shows it as it was at that moment."""
    now = at.now()
    moment = day if day is not None and day < now else None
    with at.database.read() as session:
        last = session.scalar(select(func.max(Event.number))) or 0
        kept = _boards.get(at.database)
        if kept is None or kept[0] != last or len(kept[1]) > MOST_BOARDS:
            kept = _boards[at.database] = (last, {})
        papers = kept[1].get(moment)
        if papers is None:
            counts = tallies.totals(at, session, moment)
            papers = [_paper_line(at, session, paper, counts, moment) for paper in at.contest.paper]
            kept[1][moment] = papers
    return {"contest": at.contest.id, "as_of": (moment or now).isoformat(), "papers": deepcopy(papers)}


def _paper_line(
    at: Context,
    session: Session,
    paper: Paper,
    counts: dict[str, dict[str, int]],
    moment: datetime | None = None,
) -> dict[str, Any]:
    status = dict(counts.get(paper.id, {}))
    registered = status.pop(tallies.REGISTERED, 0)
    winner = session.get(Winner, paper.id)
    if winner is not None and moment is not None and winner.at > moment:
        winner = None
    won = None
    if winner is not None:
        submission = session.get_one(Submission, winner.submission_id)
        won = {
            "team": submission.team_id,
            "name": session.get_one(Team, submission.team_id).name,
            "repo": submission.repo,
            "commit": submission.commit,
            "submission": submission.id,
            "number": submission.number,
            "at": winner.at.isoformat(),
        }
    return {
        "number": paper.number,
        "id": paper.id,
        "title": paper.title,
        "stars": paper.stars,
        "public": paper.public,
        "stand_in": paper.stand_in,
        "issue": paper.issue,
        "prize": at.contest.prize(paper),
        "currency": at.contest.prizes.currency,
        "pre_tax": True,
        "registered": registered,
        "submissions": sum(status.values()),
        "status": status,
        "state": "won" if won else ("open" if paper.public else "not_public"),
        "winner": won,
    }


def submissions(
    at: Context,
    *,
    paper: str | None = None,
    status: Sequence[str] = (),
    team: int | None = None,
    late: bool = False,
    newest_first: bool = True,
    limit: int = 50,
    after: int = 0,
) -> dict[str, Any]:
    """Complete submissions, by receipt; ``after`` is the last number of the page before."""
    limit, after = page(limit, after)
    wanted = select(Submission, Team.name).join(Team, Team.id == Submission.team_id).where(
        Submission.number.is_not(None)
    )  # fmt: skip
    if paper is not None:
        wanted = wanted.where(Submission.paper == at.contest.find_paper(paper).id)
    if status:
        wanted = wanted.where(Submission.status.in_(status))
    if team is not None:
        wanted = wanted.where(Submission.team_id == team)
    if late:
        wanted = wanted.where(
            Submission.status.in_(UNDECIDED), Submission.received_at < at.now() - promise(at)
        )
    if after:
        wanted = wanted.where(Submission.number < after if newest_first else Submission.number > after)
    order = Submission.number.desc() if newest_first else Submission.number
    with at.database.read() as session:
        rows = session.execute(wanted.order_by(order).limit(limit + 1)).all()
        found = [_line(at, submission, name) for submission, name in rows[:limit]]
    return {"items": found, "next": found[-1]["number"] if len(rows) > limit else None}


def promise(at: Context) -> timedelta:
    """Within which a ruling was promised."""
    return timedelta(days=at.contest.limits.ruling_days)


def is_late(at: Context, submission: Submission) -> bool:
    """Whether it waits longer than the contest promised."""
    return (
        submission.status in UNDECIDED
        and submission.received_at is not None
        and at.now() > submission.received_at + promise(at)
    )


def _line(at: Context, submission: Submission, team: str) -> dict[str, Any]:
    """What everybody may see. No figure is shown before the ruling is final."""
    return {
        "id": submission.id,
        "number": submission.number,
        "paper": submission.paper,
        "team": submission.team_id,
        "team_name": team,
        "repo": submission.repo,
        "commit": submission.commit,
        "attempt": submission.attempt,
        "status": submission.status,
        "reason": submission.reason,
        "received_at": _iso(submission.received_at),
        "ruled_at": _iso(submission.ruled_at),
        "late": is_late(at, submission),
    }


def submission(at: Context, actor: Actor | None, id: int) -> dict[str, Any]:
    """One submission; its team and the organisers see why, where it stands in the queue, and its evidence."""
    with at.database.read() as session:
        row = session.get(Submission, id)
        if row is None:
            raise missing("submission", "提交")
        found = _line(at, row, session.get_one(Team, row.team_id).name)
        changes = session.scalars(
            select(StatusChange).where(StatusChange.submission_id == id).order_by(StatusChange.id)
        ).all()
        found["timeline"] = [
            {"at": change.at.isoformat(), "status": change.status, "note": change.note} for change in changes
        ]
        found["status_said"] = status_said(row)
        found["source"] = row.source
        found["bundle"] = row.bundle
        found["secret_hash"] = None if row.secret is None else commitment(row.secret)
        found["secret"] = row.secret if row.secret_opened else None
        found["disputes"] = session.scalar(
            select(func.count()).select_from(Dispute).where(Dispute.submission_id == id)
        )
        if not may_see(session, actor, row):
            return found
        job = session.scalar(
            select(Job).where(Job.submission_id == id, Job.state.in_(("queued", "leased"))).order_by(Job.id)
        )
        final = row.status not in UNDECIDED
        found["mine"] = {
            "queue_place": queue_place(session, id),
            "doing": None
            if job is None
            else {"kind": job.kind, "state": job.state, "progress": job.progress},
            "thread_at": _iso(row.thread_at),
            "mail_at": _iso(row.mail_at),
            "detail": row.detail if final else None,
            # A figure of an undecided look would tell how to choose the next.
            "report": row.report if final else None,
            "evidence": row.evidence if final else None,
            "looks": [
                {"look": one.look, "reason": one.reason, "at": one.at.isoformat(), "rejudge": one.rejudge_id}
                for one in session.scalars(
                    select(Judgement).where(Judgement.submission_id == id).order_by(Judgement.id)
                )
            ],
        }
        return found


def paper(at: Context, name: str, *, limit: int = 50) -> dict[str, Any]:
    """A paper: its criterion, how its race stands, who registered last, the last submissions."""
    found = at.contest.find_paper(name)
    limits = at.contest.limits
    line: dict[str, Any] = next(one for one in board(at)["papers"] if one["id"] == found.id)
    line["url"] = found.url
    line["note"] = None if found.note is None else found.note.model_dump()
    line["criterion"] = {
        "claim": found.claim,
        "terms": found.terms,
        "attempts": limits.attempts_per_paper,
        "looks": limits.looks_per_attempt,
        "alpha": limits.alpha,
        "alpha_per_look": limits.alpha_per_look,
        "read": criterion(at, found),
    }
    with at.database.read() as session:
        line["teams"] = _registered(session, found.id, page(limit, 0)[0])
    line["recent"] = submissions(at, paper=found.id, limit=limit)["items"]
    return line


def _registered(session: Session, paper: str, limit: int) -> list[dict[str, Any]]:
    rows = session.execute(
        select(Registration, Team.name)
        .join(Team, Team.id == Registration.team_id)
        .where(Registration.paper == paper)
        .order_by(Registration.created_at.desc(), Registration.id.desc())
        .limit(limit)
    )
    return [
        {
            "team": registration.team_id,
            "name": name,
            "repo": registration.repo,
            "at": registration.created_at.isoformat(),
            "reference_run": registration.reference_at is not None,
        }
        for registration, name in rows
    ]


def teams(at: Context, *, search: str = "", limit: int = 50, after: int = 0) -> dict[str, Any]:
    """Teams that take part."""
    limit, after = page(limit, after)
    wanted = select(Team).where(Team.dissolved_at.is_(None), Team.id > after)
    if search:
        wanted = wanted.where(Team.folded.contains(search.casefold()[:60], autoescape=True))
    with at.database.read() as session:
        rows = session.scalars(wanted.order_by(Team.id).limit(limit + 1)).all()
    items = [
        {"id": row.id, "name": row.name, "disqualified": row.disqualified_at is not None}
        for row in rows[:limit]
    ]
    return {"items": items, "next": items[-1]["id"] if len(rows) > limit else None}


def team(at: Context, id: int) -> dict[str, Any]:
    """A team as everybody sees it: its papers; its submissions are a list of their own."""
    with at.database.read() as session:
        row = session.get(Team, id)
        if row is None:
            raise missing("team", "队伍")
        registrations = session.scalars(
            select(Registration).where(Registration.team_id == id).order_by(Registration.id)
        ).all()
        return {
            "id": id,
            "name": row.name,
            "founded_at": row.created_at.isoformat(),
            "dissolved": row.dissolved_at is not None,
            "merged_into": row.merged_into,
            "disqualified": row.disqualified_at is not None,
            "members": session.scalar(
                select(func.count()).select_from(Membership).where(Membership.team_id == id)
            )
            or 0,
            "papers": [
                {
                    "paper": one.paper,
                    "repo": one.repo,
                    "at": one.created_at.isoformat(),
                    "reference_run": one.reference_at is not None,
                }
                for one in registrations
            ],
        }


def changes(at: Context, *, limit: int = 30) -> list[dict[str, Any]]:
    """What happened to submissions, the newest first."""
    with at.database.read() as session:
        rows = session.execute(
            select(StatusChange, Submission, Team.name)
            .join(Submission, Submission.id == StatusChange.submission_id)
            .join(Team, Team.id == Submission.team_id)
            .where(StatusChange.note == "", Submission.number.is_not(None))
            .order_by(StatusChange.id.desc())
            .limit(page(limit, 0)[0])
        )
        return [
            {
                "id": change.id,
                "at": change.at.isoformat(),
                "status": change.status,
                "submission": submission.id,
                "number": submission.number,
                "paper": submission.paper,
                "team": submission.team_id,
                "team_name": name,
            }
            for change, submission, name in rows
        ]


def public_log(at: Context, *, after: int = 0, limit: int = 50) -> list[dict[str, Any]]:
    """Events of the audit log as everybody may see them: the newest, or those before the number ``after``."""
    wanted = select(Event).order_by(Event.number.desc()).limit(page(limit, 0)[0])
    if after:
        wanted = wanted.where(Event.number < after)
    with at.database.read() as session:
        return [Link.of(row).as_dict() for row in session.scalars(wanted)]


def my_team(at: Context, actor: Actor) -> dict[str, Any] | None:
    """The actor's team with everything that its members may know."""
    with at.database.read() as session:
        id = team_of(session, actor.account)
        if id is None:
            return None
        row = session.get_one(Team, id)
        members = session.execute(
            select(Account, Membership.joined_at)
            .join(Membership, Membership.account_id == Account.id)
            .where(Membership.team_id == id)
            .order_by(Membership.joined_at)
        ).all()
        registrations = session.scalars(
            select(Registration).where(Registration.team_id == id).order_by(Registration.id)
        ).all()
        granted = session.scalar(select(func.sum(Grant.hours)).where(Grant.team_id == id)) or 0.0
        offers = session.scalars(
            select(MergeOffer).where(MergeOffer.other_id == id, MergeOffer.accepted_at.is_(None))
        ).all()
        seeded = {paper.id for paper in at.contest.paper if paper.issued_seed}
        return {
            "id": id,
            "name": row.name,
            "captain": row.captain_id,
            "disqualified": row.disqualified_for,
            "members": [
                {"account": account.id, "name": account.name, "joined_at": joined.isoformat()}
                for account, joined in members
            ],
            "papers": [
                {
                    "paper": one.paper,
                    "repo": one.repo,
                    "seed": one.seed if one.paper in seeded else None,
                    "reference_run": one.reference_at is not None,
                    "reference_said": one.reference_said,
                }
                for one in registrations
            ],
            "granted_hours": granted,
            "merge_offers": [{"offer": one.id, "into": one.into_id} for one in offers],
        }


def steps(at: Context, actor: Actor | None) -> list[dict[str, Any]]:
    """How far the actor's team has come, one line a step of the contest."""
    done = dict.fromkeys(("account", "team", "registered", "reference", "submitted"), False)
    if actor is not None:
        with at.database.read() as session:
            account = session.get(Account, actor.account)
            id = team_of(session, actor.account)
            done["account"] = account is not None and account.confirmed_at is not None
            done["team"] = id is not None
            if id is not None:
                done["registered"] = bool(session.scalar(select(exists().where(Registration.team_id == id))))
                done["reference"] = bool(
                    session.scalar(
                        select(
                            exists().where(
                                and_(Registration.team_id == id, Registration.reference_at.is_not(None))
                            )
                        )
                    )
                )
                done["submitted"] = bool(
                    session.scalar(
                        select(exists().where(Submission.team_id == id, Submission.number.is_not(None)))
                    )
                )
    return [{"step": name, "done": reached} for name, reached in done.items()]


def queue(at: Context) -> dict[str, Any]:
    """The queue in figures, and who works on it."""
    with at.database.read() as session:
        states = session.execute(
            select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
        ).all()
        oldest = session.scalar(
            select(func.min(Submission.received_at)).where(Submission.status.in_(UNDECIDED))
        )
        workers = session.scalars(select(Worker).order_by(Worker.seen_at.desc()).limit(MOST)).all()
        now = at.now()
        failing = session.scalars(
            select(Job).where(or_(Job.failures > 0, Job.attempts > 1), Job.state.in_(("queued", "leased"))).limit(MOST)
        ).all()  # fmt: skip
        return {
            "jobs": [{"kind": kind, "state": state, "count": count} for kind, state, count in states],
            "oldest_undecided": _iso(oldest),
            "workers": [
                {
                    "name": row.name,
                    "host": row.host,
                    "engine": row.engine,
                    "seen_at": row.seen_at.isoformat(),
                    "doing": row.doing,
                    "alive": row.stopped_at is None and now - row.seen_at < jobs.LEASE,
                }
                for row in workers
            ],
            "troubled": [
                {
                    "job": job.id,
                    "submission": job.submission_id,
                    "attempts": job.attempts,
                    "failures": job.failures,
                    "error": job.error,
                }
                for job in failing
            ],
        }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
