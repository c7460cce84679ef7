"""Registration for papers, reference runs, and submissions up to their receipt."""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from fuxian.contest import jobs
from fuxian.contest.rules import papers as rules
from fuxian.contest.rules.race import Earlier, Ruling, Status, next_attempt
from fuxian.contest.rules.refused import Refused
from fuxian.contest.rules.windows import Window, require_open
from fuxian.contest.service import tallies
from fuxian.contest.service.context import (
    Actor,
    Context,
    denied,
    members_of,
    missing,
    note,
    notify,
    paragraph,
    require_account,
    require_organiser,
    team_of,
)
from fuxian.contest.service.race import next_kind, ranked_now, record_ruling, settle
from fuxian.contest.service.teams import own_team
from fuxian.contest.settings import Paper
from fuxian.contest.store.models import (
    ChainHead,
    Event,
    Grant,
    Job,
    Registration,
    StatusChange,
    Submission,
    SubmissionPerson,
    Team,
    Winner,
)

LARGEST_BUNDLE = 1 << 30
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")


def register_paper(at: Context, actor: Actor | None, paper_name: str, repo: str) -> Registration:
    """The actor's team registers for a paper; registering again changes the repository."""
    paper = at.contest.find_paper(paper_name)
    # Over the network, and so before anything is locked.
    readme = at.readme(repo) if at.contest.sources.readme and paper.public else None
    with at.database.write() as session:
        account = require_account(session, actor)
        team = own_team(session, account.id)
        rules.require_registration(
            at.contest, at.now(), paper, repo, readme, won=session.get(Winner, paper.id) is not None
        )
        return new_registration(at, session, team, paper, repo)


def new_registration(at: Context, session: Session, team: Team, paper: Paper, repo: str) -> Registration:
    """The row; whether it may be has been asked."""
    if team.disqualified_at is not None:
        raise Refused("no_team", en="this team takes part no longer.", zh="该队伍已不再参赛。")
    found = registration_of(session, team.id, paper.id)
    if found is None:
        found = Registration(
            team_id=team.id, paper=paper.id, repo=repo, seed=secrets.randbelow(2**31), created_at=at.now()
        )
        session.add(found)
        tallies.count(at, session, paper.id, tallies.REGISTERED)
    elif found.repo == repo:
        return found
    found.repo = repo
    note(
        at,
        session,
        "paper.registered",
        {"team": team.id, "paper": paper.id, "repo": repo, "seed": found.seed},
    )
    return found


def registration_of(session: Session, team: int, paper: str) -> Registration | None:
    return session.scalar(
        select(Registration).where(Registration.team_id == team, Registration.paper == paper)
    )


def report_reference_run(
    at: Context, actor: Actor | None, paper_name: str, figure: float, examples: tuple[float, ...] | None
) -> tuple[bool, str, str]:
    """The reference's predictions as the team got them; whether they hold, with a sentence in English and Chinese."""
    paper = at.contest.find_paper(paper_name)
    with at.database.write() as session:
        account = require_account(session, actor)
        team = own_team(session, account.id)
        require_open(at.contest, Window.submission, at.now())
        return record_reference_run(at, session, team, paper, rules.ReferenceRun(figure, examples))


def record_reference_run(
    at: Context, session: Session, team: Team, paper: Paper, run: rules.ReferenceRun
) -> tuple[bool, str, str]:
    registration = registration_of(session, team.id, paper.id)
    if registration is None:
        raise Refused("not_registered", en="register for the paper first.", zh="请先报名该论文。")
    holds, en, zh = rules.reference_run_holds(run, paper.milestone)
    registration.reference_figure, registration.reference_said = run.figure, en
    if holds and registration.reference_at is None:
        registration.reference_at = at.now()
    note(
        at,
        session,
        "reference.reported",
        {"team": team.id, "paper": paper.id, "holds": holds},
        {"figure": run.figure},
    )
    return holds, en, zh


def post_chain_head(at: Context, actor: Actor | None, paper_name: str, step: int, head: str) -> None:
    """The head of a training's hash chain, while it runs."""
    paper = at.contest.find_paper(paper_name)
    if not _HASH.fullmatch(head) or not 0 <= step < 2**31:
        raise Refused(
            "head", en="give a step and 64 hexadecimal digits.", zh="请给出步数和 64 位十六进制摘要。"
        )
    with at.database.write() as session:
        account = require_account(session, actor)
        registration = registration_of(session, own_team(session, account.id).id, paper.id)
        if registration is None:
            raise Refused("not_registered", en="register for the paper first.", zh="请先报名该论文。")
        session.add(ChainHead(registration_id=registration.id, step=step, head=head, at=at.now()))
        note(
            at,
            session,
            "chain.posted",
            {"team": registration.team_id, "paper": paper.id, "step": step, "head": head},
        )


def grant(at: Context, actor: Actor | None, team: int, hours: float, text: str) -> None:
    """Compute time for a team, by an organiser; negative hours take some back."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        if session.get(Team, team) is None:
            raise missing("team", "队伍")
        if not -1e5 < hours < 1e5:
            raise Refused("hours", en="give hours below 100,000.", zh="时长应小于 100000 小时。")
        session.add(
            Grant(team_id=team, hours=hours, note=paragraph(text, 500), given_by=acting.account, at=at.now())
        )
        note(at, session, "grant.given", {"team": team, "hours": hours})
        notify(
            at,
            session,
            members_of(session, team),
            zh=f"获得算力 {hours:g} 小时。",
            en=f"{hours:g} hours of compute were granted.",
            link="/team",
        )


def submit(
    at: Context,
    actor: Actor | None,
    paper_name: str,
    *,
    repo: str | None = None,
    commit: str | None = None,
    bundle: Path | None = None,
    source: str = "api",
) -> dict[str, Any]:
    """A complete submission: a repository at a commit, or an uploaded bundle of it. Returns its signed receipt.

    The same commit while the first is undecided is the same submission: it gets the same receipt.
    """
    paper = at.contest.find_paper(paper_name)
    digest = None if bundle is None else _keep_bundle(at, bundle)
    with at.database.write() as session:
        return receipt(at, session, _made(at, session, actor, paper, repo, commit, digest, source))


class _Undone(Exception):
    """Ends a transaction without keeping what it did."""


def try_to_submit(
    at: Context,
    actor: Actor | None,
    paper_name: str,
    *,
    repo: str | None = None,
    commit: str | None = None,
    bundle: Path | None = None,
) -> None:
    """Does all that ``submit`` does and keeps nothing of it. Raises Refused where that would."""
    paper = at.contest.find_paper(paper_name)
    digest = None if bundle is None else _require_bundle(bundle)
    with suppress(_Undone), at.database.write() as session:
        _made(at, session, actor, paper, repo, commit, digest, "web")
        raise _Undone


def _made(
    at: Context,
    session: Session,
    actor: Actor | None,
    paper: Paper,
    repo: str | None,
    commit: str | None,
    bundle: str | None,
    source: str,
) -> Submission:
    """The complete submission, or the same one of before."""
    account = require_account(session, actor)
    team = own_team(session, account.id)
    registration = registration_of(session, team.id, paper.id)
    require_open(at.contest, Window.submission, at.now())
    if registration is None:
        raise Refused("not_registered", en="register for the paper first.", zh="请先报名该论文。")
    _require_source(at, repo, commit, bundle)
    where = repo or registration.repo
    same = session.scalar(
        select(Submission).where(
            Submission.team_id == team.id,
            Submission.paper == paper.id,
            Submission.repo == where,
            Submission.commit == commit,
            Submission.status.in_(("queued", "review", "provisional")),
        )
    )
    if same is None:
        same = Submission(
            team_id=team.id,
            paper=paper.id,
            repo=where,
            commit=commit,
            source=source,
            submitted_by=account.id,
            status="incomplete",
            bundle=bundle,
        )
        session.add(same)
        session.flush()
        receive(at, session, same, team, paper)
    return same


def receive(at: Context, session: Session, submission: Submission, team: Team, paper: Paper) -> None:
    """Gives a complete submission its number, its secret and its job, in one transaction."""
    people = members_of(session, team.id)
    if team.disqualified_at is not None or not people:
        raise Refused("no_team", en="this team takes part no longer.", zh="该队伍已不再参赛。")
    if not paper.judged:
        raise Refused(
            "not_judged",
            en="this paper's criterion is not published yet; submit when it is.",
            zh="该论文的验收标准尚未公布，请公布后再提交。",
        )
    now = at.now()
    submission.attempt = next_attempt(
        at.contest.limits,
        paper.id,
        now.astimezone(at.contest.zone).date(),
        _earlier(at, session, team.id, people),
        won=session.get(Winner, paper.id) is not None,
    )
    submission.number = (session.scalar(select(func.max(Submission.number))) or 0) + 1
    submission.received_at = now
    submission.status = Status.queued.value
    submission.ranked = ranked_now(session, people)
    submission.secret = secrets.token_hex(32)
    for person in people:
        session.add(SubmissionPerson(submission_id=submission.id, account_id=person))
    session.add(StatusChange(submission_id=submission.id, at=now, status=Status.queued.value))
    tallies.count(at, session, paper.id, Status.queued.value)
    event = note(
        at,
        session,
        "submission.received",
        {
            "submission": submission.id,
            "number": submission.number,
            "paper": paper.id,
            "team": team.id,
            "attempt": submission.attempt,
            "ranked": submission.ranked,
            "repo": submission.repo,
            "commit": submission.commit,
            "bundle": submission.bundle,
            "secret_hash": commitment(submission.secret),
        },
    )
    submission.receipt_event = event.number
    jobs.enqueue(session, now, submission.id, next_kind(submission), submission.look)
    notify(
        at,
        session,
        people,
        zh=f"已收到对论文 {paper.number} 的提交，编号 #{submission.number}。",
        en=f"The submission on paper {paper.number} was received as #{submission.number}.",
        link=f"/submissions/{submission.id}",
    )


def commitment(secret: str) -> str:
    """The hash of a secret (hexadecimal) that is opened later, as a verification's evidence names it."""
    return hashlib.sha256(b"fuxian secret 1\0" + bytes.fromhex(secret)).hexdigest()


def receipt(at: Context, session: Session, submission: Submission) -> dict[str, Any]:
    """What proves to the team, and to anybody, that and when this submission was received."""
    assert submission.number is not None and submission.received_at is not None  # noqa: S101
    event = session.get_one(Event, submission.receipt_event)
    return at.signer.sign(
        {
            "contest": at.contest.id,
            "submission": submission.id,
            "number": submission.number,
            "paper": submission.paper,
            "team": submission.team_id,
            "attempt": submission.attempt,
            "repo": submission.repo,
            "commit": submission.commit,
            "received_at": submission.received_at.isoformat(),
            "event": event.number,
            "event_hash": event.hash,
        }
    )


def receipt_of(at: Context, actor: Actor | None, id: int) -> dict[str, Any]:
    """The receipt again, for the team and the organisers."""
    with at.database.read() as session:
        submission = visible(session, actor, id)
        if submission.number is None:
            raise Refused("incomplete", en="this submission is not complete yet.", zh="该提交尚不完整。")
        return receipt(at, session, submission)


def visible(session: Session, actor: Actor | None, id: int) -> Submission:
    """A submission that the actor may see all of: its own team's, or any for an organiser."""
    submission = session.get(Submission, id)
    if submission is None:
        raise missing("submission", "提交")
    if not may_see(session, actor, submission):
        raise denied()
    return submission


def may_see(session: Session, actor: Actor | None, submission: Submission) -> bool:
    """Its own team and the organisers see reasons, logs and evidence."""
    return actor is not None and (actor.is_organiser or team_of(session, actor.account) == submission.team_id)


def withdraw(at: Context, actor: Actor | None, id: int) -> None:
    """By the team, while it is undecided. The attempt stays used."""
    with at.database.write() as session:
        account = require_account(session, actor)
        submission = session.get(Submission, id)
        if submission is None:
            raise missing("submission", "提交")
        if team_of(session, account.id) != submission.team_id:
            raise denied()
        if submission.status not in ("queued", "review", "provisional", "incomplete"):
            raise Refused("decided", en="this submission is decided already.", zh="该提交已有结果。")
        if submission.number is None:
            submission.status = Status.withdrawn.value
            note(at, session, "submission.dropped", {"submission": id})
            return
        record_ruling(at, session, submission, Ruling.withdrawn, "WITHDRAWN", "withdrawn by the team", "team")
        session.flush()
        settle(at, session, submission.paper)


def queue_place(session: Session, submission: int) -> int | None:
    """How many jobs come before the submission's; None where it waits for nothing."""
    job = session.scalar(select(Job).where(Job.submission_id == submission, Job.state == "queued"))
    return None if job is None else jobs.ahead(session, job)


def _require_source(at: Context, repo: str | None, commit: str | None, bundle: str | None) -> None:
    if commit is None or not _COMMIT.fullmatch(commit):
        raise Refused(
            "commit",
            en="name the commit by its 40 digits (git rev-parse HEAD).",
            zh="请给出 40 位提交号（git rev-parse HEAD）。",
        )
    if bundle is not None:
        if not at.contest.sources.uploads:
            raise Refused(
                "no_uploads",
                en="this contest takes no uploads; name a repository.",
                zh="本比赛不接受上传，请给出仓库地址。",
            )
        return
    if not at.contest.sources.https:
        raise Refused("uploads_only", en="upload a bundle of the commit.", zh="请上传该提交的 bundle。")
    rules.require_repository(repo or "")


def _keep_bundle(at: Context, file: Path) -> str:
    digest = _require_bundle(file)
    at.artifacts.put(bundle_name(digest), file)
    return digest


def _require_bundle(file: Path) -> str:
    """The sha256 of a git bundle. Raises Refused for what is none, or too large."""
    if file.stat().st_size > LARGEST_BUNDLE:
        raise Refused(
            "too_large", en="a bundle has at most 1 GiB; make it smaller.", zh="bundle 至多 1 GiB，请精简。"
        )
    if not _is_bundle(file):
        raise Refused(
            "bundle",
            en="this is no git bundle; make one with git bundle create.",
            zh="这不是 git bundle，请用 git bundle create 生成。",
        )
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_bundle(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(16) in (b"# v2 git bundle\n", b"# v3 git bundle\n")


def bundle_name(digest: str) -> str:
    return f"bundles/{digest}.bundle"


def _earlier(at: Context, session: Session, team: int, people: list[int]) -> list[Earlier]:
    """Attempts of this team and of its people in other teams."""
    theirs = select(SubmissionPerson.submission_id).where(SubmissionPerson.account_id.in_(people))
    rows = session.scalars(
        select(Submission).where(
            Submission.number.is_not(None), or_(Submission.team_id == team, Submission.id.in_(theirs))
        )
    )
    return [
        Earlier(
            row.paper,
            row.received_at.astimezone(at.contest.zone).date(),
            row.status not in ("queued", "review", "provisional"),
        )
        for row in rows
        if row.received_at is not None
    ]


def evidence_of(at: Context, actor: Actor | None, id: int) -> str:
    """Name of a submission's evidence among the artifacts; not before the ruling is final."""
    with at.database.read() as session:
        submission = visible(session, actor, id)
        undecided = submission.status in ("incomplete", "queued", "review", "provisional")
        if submission.evidence is None or (undecided and not (actor and actor.is_organiser)):
            raise Refused(
                "no_evidence_yet",
                en="there is no evidence to be had before the ruling is final.",
                zh="裁定生效前没有可下载的证据。",
            )
        return submission.evidence
