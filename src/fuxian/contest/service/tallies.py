"""How many submissions of each status, and registrations, a paper gained on each day.

The board of today or of any day is a sum over days, so that its cost does not grow with submissions. Every line is
written in the transaction of the change that it counts.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import and_, delete, exists, func, select
from sqlalchemy.orm import Session, aliased

from fuxian.contest.service.context import Context
from fuxian.contest.store.models import Registration, StatusChange, Submission, Tally

REGISTERED = "registered"


def count(at: Context, session: Session, paper: str, status: str, by: int = 1) -> None:
    """One more (or fewer) of a status, today in the contest's time zone."""
    key = (paper, at.now().astimezone(at.contest.zone).date().isoformat(), status)
    row = session.get(Tally, key)
    if row is None:
        session.add(Tally(paper=key[0], day=key[1], status=status, count=by))
        session.flush()
    else:
        row.count += by


def totals(at: Context, session: Session, moment: datetime | None = None) -> dict[str, dict[str, int]]:
    """Counts by paper and status, registrations among them: now, or as they were at a moment."""
    wanted = select(Tally.paper, Tally.status, func.sum(Tally.count)).group_by(Tally.paper, Tally.status)
    found: Counter[tuple[str, str]] = Counter()
    if moment is not None:
        there = moment.astimezone(at.contest.zone)
        wanted = wanted.where(Tally.day < there.date().isoformat())
        midnight = there.replace(hour=0, minute=0, second=0, microsecond=0)
        found.update(_since(session, midnight, there))
    for paper, status, number in session.execute(wanted):
        found[paper, status] += int(number)
    by_paper: dict[str, dict[str, int]] = {}
    for (paper, status), number in sorted(found.items()):
        if number > 0:
            by_paper.setdefault(paper, {})[status] = number
    return by_paper


def _since(session: Session, midnight: datetime, moment: datetime) -> Counter[tuple[str, str]]:
    """What changed between the two, which lie within a day."""
    found: Counter[tuple[str, str]] = Counter()
    during = and_(StatusChange.at >= midnight, StatusChange.at <= moment)
    span = (
        select(
            StatusChange.submission_id,
            func.min(StatusChange.id).label("first"),
            func.max(StatusChange.id).label("last"),
        )
        .where(during)
        .group_by(StatusChange.submission_id)
        .subquery()
    )
    before, after = aliased(StatusChange), aliased(StatusChange)
    earlier = (
        select(before.status)
        .where(before.submission_id == span.c.submission_id, before.id < span.c.first)
        .order_by(before.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Submission.paper, after.status, earlier)
        .join(span, span.c.submission_id == Submission.id)
        .join(after, after.id == span.c.last)
    )
    for paper, now, then in rows:
        found[paper, now] += 1
        if then is not None:
            found[paper, then] -= 1
    registered = (
        select(Registration.paper, func.count())
        .where(Registration.created_at >= midnight, Registration.created_at <= moment)
        .group_by(Registration.paper)
    )
    for paper, number in session.execute(registered):
        found[paper, REGISTERED] += number
    return found


def missing(session: Session) -> bool:
    """Whether there are registrations and nothing counts them: the database is older than the tallies."""
    counted = session.scalar(select(exists().where(Tally.count != 0)))
    return not counted and bool(session.scalar(select(exists().where(Registration.id > 0))))


def rebuild(at: Context, session: Session) -> None:
    """Counts everything again: after the contest's time zone changed, or where nothing was counted yet."""
    found: Counter[tuple[str, str, str]] = Counter()
    zone = at.contest.zone

    def day(moment: datetime) -> str:
        return moment.astimezone(zone).date().isoformat()

    for paper, moment in session.execute(select(Registration.paper, Registration.created_at)):
        found[paper, day(moment), REGISTERED] += 1
    changes = (
        select(StatusChange.submission_id, Submission.paper, StatusChange.at, StatusChange.status)
        .join(Submission, Submission.id == StatusChange.submission_id)
        .order_by(StatusChange.submission_id, StatusChange.id)
    )
    last: tuple[int, str] | None = None
    for id, paper, moment, status in session.execute(changes.execution_options(yield_per=5000)):
        if last is not None and last[0] == id:
            if last[1] == status:
                continue
            found[paper, day(moment), last[1]] -= 1
        found[paper, day(moment), status] += 1
        last = (id, status)
    session.execute(delete(Tally))
    session.add_all(
        Tally(paper=paper, day=on, status=status, count=number)
        for (paper, on, status), number in found.items()
        if number
    )
    session.flush()
