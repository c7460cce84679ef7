"""What workers report, and what follows: pinned, another look, a ruling, a winner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fuxian.contest import jobs
from fuxian.contest.evaluation import Result, Work
from fuxian.contest.fingerprints import Sketch
from fuxian.contest.rules.race import Next, Ruling, after_look
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.context import Actor, Context, missing, note, paragraph, require_organiser
from fuxian.contest.service.race import record_ruling, settle
from fuxian.contest.service.submissions import bundle_name, registration_of
from fuxian.contest.store.models import (
    Fingerprint,
    Judgement,
    Rejudge,
    RejudgeItem,
    StatusChange,
    Submission,
    Worker,
)

LOST_WORKERS = 5
"""A job that so many workers died on goes to a person: what kills them may be the submission."""


@dataclass(frozen=True)
class ToPin:
    """A repository to fetch."""

    submission: int
    repo: str
    commit: str | None


def work_of(at: Context, held: jobs.Claim, bundle: Path) -> Work:
    """What an evaluation needs to know; ``bundle`` is where its bundle will be."""
    with at.database.read() as session:
        submission = session.get_one(Submission, held.submission)
        paper = at.contest.find_paper(submission.paper)
        limits = at.contest.limits
        assert submission.commit is not None and submission.secret is not None  # noqa: S101
        assert submission.attempt is not None  # noqa: S101
        registration = registration_of(session, submission.team_id, submission.paper)
        return Work(
            submission=submission.id,
            paper=submission.paper,
            claim=paper.claim,
            terms=None if paper.terms is None else str(at.folder / paper.terms),
            bundle=str(bundle),
            commit=submission.commit,
            secret=submission.secret,
            look=(submission.attempt - 1) * limits.looks_per_attempt + held.look,
            looks=limits.attempts_per_paper * limits.looks_per_attempt,
            alpha=limits.alpha,
            seed=registration.seed if paper.issued_seed and registration is not None else None,
        )


def to_pin(at: Context, held: jobs.Claim) -> ToPin:
    with at.database.read() as session:
        submission = session.get_one(Submission, held.submission)
        return ToPin(submission.id, submission.repo, submission.commit)


def bundle_of(at: Context, held: jobs.Claim) -> str:
    """Name of the submission's bundle among the artifacts."""
    with at.database.read() as session:
        digest = session.get_one(Submission, held.submission).bundle
        assert digest is not None  # noqa: S101 - it is verified after it is pinned
        return bundle_name(digest)


def pinned(at: Context, held: jobs.Claim, commit: str, digest: str) -> bool:
    """The bundle is kept: verification follows. False where the job is held no longer."""
    with at.database.write() as session:
        job = jobs.take(session, held)
        if job is None:
            return False
        submission = session.get_one(Submission, held.submission)
        submission.commit, submission.bundle = commit, digest
        note(
            at,
            session,
            "submission.pinned",
            {"submission": submission.id, "number": submission.number, "commit": commit, "bundle": digest},
        )
        _say(at, session, submission, f"pinned at {commit[:10]}")
        jobs.done(job, at.now())
        session.flush()
        jobs.enqueue(session, at.now(), submission.id, jobs.VERIFY, held.look, held.rejudge)
        return True


def platform_failed(at: Context, held: jobs.Claim, error: str) -> bool:
    """The machine or the network failed: the same work again, later, at no cost to the team."""
    with at.database.write() as session:
        job = jobs.take(session, held)
        if job is None:
            return False
        jobs.retry(job, at.now(), error)
        submission = session.get_one(Submission, held.submission)
        note(
            at,
            session,
            "platform.failed",
            {"submission": submission.id, "number": submission.number, "look": held.look},
            {"error": error[:2000]},
        )
        _say(at, session, submission, "platform failure; tried again at no cost")
        return True


def finish(at: Context, held: jobs.Claim, result: Result, worker: str, evidence: str | None) -> bool:
    """A finished look. False where the job is held no longer: then nothing is taken."""
    with at.database.write() as session:
        job = jobs.take(session, held)
        if job is None:
            return False
        submission = session.get_one(Submission, held.submission)
        session.add(
            Judgement(
                submission_id=submission.id,
                look=held.look,
                rejudge_id=held.rejudge,
                verdict=result.verdict,
                reason=result.reason,
                detail=result.detail[:5000],
                evidence=evidence,
                worker=worker,
                at=at.now(),
            )
        )
        jobs.done(job, at.now())
        if held.rejudge is not None:
            _judged_again(at, session, held.rejudge, submission, result)
            return True
        submission.evidence, submission.report = evidence, result.report
        note(
            at,
            session,
            "look.finished",
            {
                "submission": submission.id,
                "number": submission.number,
                "look": held.look,
                "reason": result.reason,
            },
            {"verdict": result.verdict, "detail": result.detail[:5000], "evidence": evidence},
        )
        following = after_look(at.contest.limits, result.verdict, held.look, platform_failed=False)
        if following is Next.look:
            submission.look = held.look + 1
            _say(
                at, session, submission, f"look {held.look} was inconclusive; look {submission.look} follows"
            )
            session.flush()
            jobs.enqueue(session, at.now(), submission.id, jobs.VERIFY, submission.look)
            return True
        record_ruling(
            at, session, submission, Ruling(result.verdict), result.reason, result.detail, "checker"
        )
        session.flush()
        settle(at, session, submission.paper)
        return True


def hand_to_person(at: Context, held: jobs.Claim, why: str) -> bool:
    """Work that no worker can finish: a person decides, and nothing stays stuck."""
    result = Result("inconclusive", "INTERNAL", why)
    with at.database.write() as session:
        job = jobs.take(session, held)
        if job is None:
            return False
        jobs.done(job, at.now())
        submission = session.get_one(Submission, held.submission)
        if held.rejudge is not None:
            _judged_again(at, session, held.rejudge, submission, result)
            return True
        record_ruling(at, session, submission, Ruling.inconclusive, result.reason, why, "platform")
        session.flush()
        settle(at, session, submission.paper)
        return True


def decide(at: Context, actor: Actor | None, id: int, ruling: str, reasons: str) -> None:
    """By an organiser, with reasons on record, and only where the checker could not: an inconclusive submission.

    ``again`` in place of a ruling gives it back to the checker, where the platform failed. Other looks are used up.
    """
    acting = require_organiser(actor)
    with at.database.write() as session:
        submission = session.get(Submission, id)
        if submission is None:
            raise missing("submission", "提交")
        if submission.status != "review":
            raise Refused(
                "no_override",
                en="only what the checker could not decide is decided by hand; open a rejudge instead.",
                zh="只有系统无法裁定的提交才由人工裁定，请发起重新评测。",
            )
        why = paragraph(reasons)
        if ruling not in ("accepted", "rejected", "again"):
            raise missing("ruling", "裁定")
        if ruling == "again" and submission.reason != "INTERNAL":
            raise Refused(
                "no_looks",
                en="its looks are used up; accept or reject it.",
                zh="验收次数已用完，请裁定通过或不通过。",
            )
        by = f"organiser {acting.account}"
        note(
            at,
            session,
            "submission.decided",
            {
                "submission": id,
                "number": submission.number,
                "ruling": ruling,
                "by": acting.account,
                "reasons": why,
            },
        )
        if ruling == "again":
            record_ruling(at, session, submission, Ruling.none, "AGAIN", why, by)
        else:
            record_ruling(at, session, submission, Ruling(ruling), "BY_HAND", why, by)
        session.flush()
        settle(at, session, submission.paper)


def _judged_again(
    at: Context, session: Session, rejudge: int, submission: Submission, result: Result
) -> None:
    item = session.get_one(RejudgeItem, (rejudge, submission.id))
    item.after, item.reason, item.detail = result.verdict, result.reason, result.detail[:5000]
    session.flush()
    open_items = session.scalars(
        select(RejudgeItem.submission_id).where(
            RejudgeItem.rejudge_id == rejudge, RejudgeItem.after.is_(None)
        )
    ).first()
    row = session.get_one(Rejudge, rejudge)
    if open_items is None and row.state == "running":
        row.state = "compared"
        note(at, session, "rejudge.compared", {"rejudge": rejudge})


def _say(at: Context, session: Session, submission: Submission, words: str) -> None:
    session.add(StatusChange(submission_id=submission.id, at=at.now(), status=submission.status, note=words))


def keep_fingerprint(at: Context, submission: int, sketch: Sketch) -> None:
    """The MinHash signature of its source, for suspected duplicates."""
    with at.database.write() as session:
        if session.get(Fingerprint, submission) is None:
            session.add(Fingerprint(submission_id=submission, signature=sketch.as_hex()))


def seen(
    at: Context, worker: str, host: str, engine: str, doing: int | None, *, stopped: bool = False
) -> None:
    """A worker says that it is there."""
    with at.database.queue() as session:
        row = session.get(Worker, worker)
        if row is None:
            row = Worker(name=worker, host=host, engine=engine, started_at=at.now(), seen_at=at.now())
            session.add(row)
        row.seen_at, row.doing = at.now(), doing
        row.stopped_at = at.now() if stopped else None
