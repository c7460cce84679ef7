"""The queue of work: durable rows with a lease, a heartbeat and a fencing token.

A job is queued in the transaction that makes it necessary. A worker holds it by a lease that its heartbeats renew; a
worker that dies lets the lease run out and another takes over. Every claim raises the job's token, and only the newest
holder's result is taken: nothing is judged twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from fuxian.contest.store.database import Database
from fuxian.contest.store.models import Job

HEARTBEAT = timedelta(seconds=15)
LEASE = 2 * HEARTBEAT
PIN, VERIFY = "pin", "verify"
RANKS = {PIN: 0, VERIFY: 1}
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True)
class Claim:
    """A job held by a worker."""

    job: int
    token: int
    submission: int
    kind: str
    look: int
    rejudge: int | None
    attempts: int


def enqueue(
    session: Session, now: datetime, submission: int, kind: str, look: int, rejudge: int | None = None
) -> Job:
    """Within the transaction that makes the work necessary."""
    job = Job(
        submission_id=submission,
        kind=kind,
        rank=RANKS[kind],
        look=look,
        rejudge_id=rejudge,
        run_after=now,
        created_at=now,
    )
    session.add(job)
    session.flush()
    return job


def claim(
    database: Database, worker: str, now: datetime, kinds: Collection[str] = (PIN, VERIFY)
) -> Claim | None:
    """The next job: one whose holder is gone, else the first in the queue. None where nothing is to be done."""
    expired = and_(Job.state == "leased", Job.lease_until < now)
    ready = and_(Job.state == "queued", Job.run_after <= now)
    with database.queue() as session:
        job = _next(session, expired, kinds) or _next(session, ready, kinds)
        if job is None:
            return None
        job.state, job.worker, job.lease_until = "leased", worker, now + LEASE
        job.token += 1
        job.attempts += 1
        job.progress = ""
        return Claim(job.id, job.token, job.submission_id, job.kind, job.look, job.rejudge_id, job.attempts)


def _next(session: Session, which: ColumnElement[bool], kinds: Collection[str]) -> Job | None:
    wanted = (
        select(Job)
        .where(which, Job.rank.in_([RANKS[kind] for kind in kinds]))
        .order_by(Job.rank, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return session.scalars(wanted).first()


def heartbeat(database: Database, held: Claim, now: datetime, progress: str = "") -> bool:
    """Renews the lease. False where the work is not wanted any more or another worker holds it: stop then."""
    with database.queue() as session:
        renewed = session.execute(
            update(Job)
            .where(*_holding(held))
            .values(lease_until=now + LEASE, progress=progress[:200])
            .returning(Job.id)
        ).first()
    return renewed is not None


def take(session: Session, held: Claim) -> Job | None:
    """The job within a ``write`` transaction, if the worker still holds it."""
    return session.scalars(select(Job).where(*_holding(held)).with_for_update()).first()


def _holding(held: Claim) -> tuple[ColumnElement[bool], ...]:
    return (Job.id == held.job, Job.token == held.token, Job.state == "leased")


def done(job: Job, now: datetime) -> None:
    job.state, job.finished_at, job.lease_until = "done", now, None


def retry(job: Job, now: datetime, error: str) -> None:
    """After a failure of the platform: later, and each time twice as late, up to an hour."""
    job.failures += 1
    wait = min(LONGEST_WAIT, timedelta(seconds=15) * 2 ** min(job.failures, 10))
    job.state, job.run_after, job.lease_until = "queued", now + wait, None
    job.worker, job.error = None, error[:2000]


def give_back(database: Database, held: Claim, now: datetime) -> None:
    """By a worker that stops: the job is free at once, and this try does not count."""
    with database.queue() as session:
        session.execute(
            update(Job)
            .where(*_holding(held))
            .values(state="queued", run_after=now, lease_until=None, worker=None, attempts=Job.attempts - 1)
        )


def cancel(session: Session, now: datetime, submission: int, rejudge: int | None = None) -> None:
    """Within a ``write`` transaction: queued work is dropped, running work is told at its next heartbeat."""
    which = [Job.submission_id == submission, Job.state.in_(("queued", "leased"))]
    which.append(Job.rejudge_id.is_(None) if rejudge is None else Job.rejudge_id == rejudge)
    for job in session.scalars(select(Job).where(*which).with_for_update()):
        # A running one is held no longer: its worker learns it by the next heartbeat, and its result is not taken.
        job.state, job.finished_at, job.lease_until = "cancelled", now, None


def ahead(session: Session, job: Job) -> int:
    """How many queued jobs come before this one."""
    return (
        session.scalar(
            select(func.count())
            .select_from(Job)
            .where(Job.state == "queued", Job.rank == job.rank, Job.id < job.id)
        )
        or 0
    )
