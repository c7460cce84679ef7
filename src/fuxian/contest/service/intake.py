"""Takes in the old thread and the two mails. What was taken once is not taken again; each refusal has its reason.

A reply counts at the time at which it was posted, a mail at the time at which it was sent; a submission of the thread
is complete when both are there, and gets its receipt then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from fuxian.contest.mail import Letter, NotOurs
from fuxian.contest.rules import papers as rules
from fuxian.contest.rules.refused import Refused
from fuxian.contest.rules.windows import Window, require_open
from fuxian.contest.service.accounts import imported_account
from fuxian.contest.service.context import Context, note, team_of
from fuxian.contest.service.submissions import (
    new_registration,
    receive,
    record_reference_run,
    registration_of,
)
from fuxian.contest.service.teams import fold, new_team
from fuxian.contest.settings import Paper
from fuxian.contest.store.models import Imported, Submission, Team, Winner
from fuxian.contest.thread import Comment, Reply, Unusable, replies
from fuxian.errors import InputError, PlatformError


@dataclass(frozen=True)
class Line:
    """What became of one reply or mail."""

    source: str
    used: bool
    said: str


def import_thread(at: Context, comments: Iterable[Comment]) -> list[Line]:
    """Every reply, in the order of time."""
    report = []
    order = sorted(comments, key=lambda one: one.at or at.now())
    for comment in order:
        for number, reply in enumerate(replies(at.contest, comment)):
            if isinstance(reply, Unusable):
                report.append(Line(comment.source, False, reply.en))
                continue
            key = f"thread:{comment.key}:{number}"
            take = partial(_take_reply, reply=reply, comment=comment)
            report.append(_once(at, key, "thread", comment.source, comment.at, take))
    return report


def import_mails(at: Context, letters: Iterable[Letter | NotOurs]) -> list[Line]:
    """Every mail, in the order of time."""
    report = []
    good = []
    for letter in letters:
        if isinstance(letter, NotOurs):
            report.append(Line(letter.source, False, letter.why))
        else:
            good.append(letter)
    for letter in sorted(good, key=lambda one: one.at or at.now()):
        take = partial(_take_letter, letter=letter)
        report.append(_once(at, f"mail:{letter.key}", "mail", letter.source, letter.at, take))
    return report


def _once(
    at: Context,
    key: str,
    kind: str,
    source: str,
    posted: datetime | None,
    take: Callable[[Context, Session], str],
) -> Line:
    # Nobody posts in the future: a wrong clock of a mail must not jump the queue of windows either.
    moment = at.now() if posted is None else min(posted, at.now())
    then = replace(at, clock=lambda: moment, imported=True)
    try:
        with at.database.write() as session:
            known = session.get(Imported, key)
            if known is not None:
                return Line(source, True, f"taken before: {known.said}")
            said = take(then, session)
            session.add(Imported(key=key, kind=kind, said=said, at=at.now()))
            return Line(source, True, said)
    except (Refused, InputError, PlatformError) as error:
        return Line(source, False, str(error))


def _take_reply(then: Context, session: Session, reply: Reply, comment: Comment) -> str:
    paper = reply.paper
    team = _team(then, session, reply.team, comment.author)
    said = []
    if registration_of(session, team.id, paper.id) is None:
        readme = then.readme(reply.repo) if then.contest.sources.readme else None
        rules.require_registration(
            then.contest, then.now(), paper, reply.repo, readme, won=session.get(Winner, paper.id) is not None
        )
        new_registration(then, session, team, paper, reply.repo)
        said.append("registered")
    if reply.tries:
        made = session.scalar(
            select(func.count())
            .select_from(Submission)
            .where(
                Submission.team_id == team.id,
                Submission.paper == paper.id,
                or_(Submission.number.is_not(None), Submission.thread_at.is_not(None)),
            )
        )
        if (made or 0) >= reply.tries:
            said.append(f"submission {reply.tries} is known")
        else:
            said.append(_submission(then, session, team, paper, reply.repo, by="thread"))
    return ", ".join(said) or "registered before"


def _take_letter(then: Context, session: Session, letter: Letter) -> str:
    paper = then.contest.find_paper(letter.paper)
    team = session.scalar(select(Team).where(Team.folded == fold(letter.team)))
    if team is None or registration_of(session, team.id, paper.id) is None:
        raise Refused(
            "not_registered",
            en=f"team {letter.team[:60]!r} is not registered for paper {paper.number}.",
            zh=f"队伍“{letter.team[:60]}”未报名论文 {paper.number}。",
        )
    note(
        then,
        session,
        "mail.read",
        {"team": team.id, "paper": paper.id, "kind": letter.kind},
        {"sender": letter.sender},
    )
    if letter.kind == "reference":
        require_open(then.contest, Window.submission, then.now())
        if letter.figure is None:
            raise Refused(
                "figure", en="the mail gives no figure of the reference.", zh="邮件没有参考代码的结果。"
            )
        holds, en, _ = record_reference_run(then, session, team, paper, rules.ReferenceRun(letter.figure))
        return f"reference run {'holds' if holds else 'does not hold'}: {en}"
    return _submission(then, session, team, paper, letter.repo, by="mail", commit=letter.commit)


def _submission(
    then: Context,
    session: Session,
    team: Team,
    paper: Paper,
    repo: str | None,
    *,
    by: str,
    commit: str | None = None,
) -> str:
    """One half of a submission; with the other half it is complete."""
    require_open(then.contest, Window.submission, then.now())
    half = session.scalar(
        select(Submission).where(
            Submission.team_id == team.id,
            Submission.paper == paper.id,
            Submission.status == "incomplete",
        )
    )
    if half is None:
        registration = registration_of(session, team.id, paper.id)
        assert registration is not None  # noqa: S101 - both ways here have asked
        half = Submission(
            team_id=team.id,
            paper=paper.id,
            repo=repo or registration.repo,
            source="thread",
            status="incomplete",
        )
        session.add(half)
    if by == "thread":
        half.thread_at, half.repo = half.thread_at or then.now(), repo or half.repo
    else:
        half.mail_at, half.commit = half.mail_at or then.now(), commit or half.commit
    session.flush()
    waits = "mail" if half.mail_at is None else "thread reply"
    if half.thread_at is None or (half.mail_at is None and then.contest.sources.mail):
        return f"submission begun; it is complete with the {waits}"
    receive(then, session, half, team, paper)
    head = "" if half.commit else "; it names no commit, so the repository's head is pinned now"
    return f"submission received as #{half.number}{head}"


def _team(then: Context, session: Session, name: str, author: str) -> Team:
    found = session.scalar(select(Team).where(Team.folded == fold(name)))
    if found is not None:
        return found
    account = imported_account(then, session, f"{author.lower()}@thread.invalid", author)
    if team_of(session, account.id) is not None:
        raise Refused(
            "in_a_team",
            en=f"{author} is in another team already; each person is in one team only.",
            zh=f"{author} 已在另一支队伍中，每人只能加入一支队伍。",
        )
    require_open(then.contest, Window.registration, then.now())
    return new_team(then, session, account, name)
