"""Announcements, questions and their answers, the outbox."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlparse

from sqlalchemy import select, update

from fuxian.contest.service.context import (
    Actor,
    Context,
    members_of,
    missing,
    note,
    notify,
    one_line,
    paragraph,
    require_account,
    require_organiser,
)
from fuxian.contest.service.teams import own_team
from fuxian.contest.store.models import (
    Account,
    Announcement,
    Mail,
    Membership,
    Notification,
    Question,
    Registration,
)
from fuxian.errors import InputError

MOST_ATTEMPTS = 8


def announce(
    at: Context, actor: Actor | None, *, zh: tuple[str, str], en: tuple[str, str], paper: str | None
) -> int:
    """Title and text in both languages, to all or to a paper's teams: in the pages and by mail."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = Announcement(
            paper=None if paper is None else at.contest.find_paper(paper).id,
            title_zh=one_line(zh[0], 120, "title", "标题"),
            title_en=one_line(en[0], 120, "title", "标题"),
            text_zh=paragraph(zh[1]),
            text_en=paragraph(en[1]),
            at=at.now(),
            by=acting.account,
        )
        session.add(row)
        session.flush()
        note(at, session, "announced", {"announcement": row.id, "paper": row.paper, "title": row.title_en})
        to = select(Account.id)
        if row.paper is not None:
            to = (
                select(Membership.account_id)
                .join(Registration, Registration.team_id == Membership.team_id)
                .where(Registration.paper == row.paper)
            )
        notify(
            at,
            session,
            session.scalars(to).all(),
            zh=f"{row.title_zh}\n{row.text_zh}",
            en=f"{row.title_en}\n{row.text_en}",
            link=f"/announcements/{row.id}",
        )
        return row.id


def announcements(at: Context, *, limit: int = 50) -> list[dict[str, Any]]:
    """The newest first. ``copy`` of each is ready to be put into a group's channel."""
    with at.database.read() as session:
        rows = session.scalars(select(Announcement).order_by(Announcement.at.desc()).limit(min(limit, 200)))
        return [_announcement(row) for row in rows]


def announcement(at: Context, id: int) -> dict[str, Any]:
    with at.database.read() as session:
        row = session.get(Announcement, id)
        if row is None:
            raise missing("announcement", "公告")
        return _announcement(row)


def _announcement(row: Announcement) -> dict[str, Any]:
    return {
        "id": row.id,
        "paper": row.paper,
        "at": row.at.isoformat(),
        "zh": {"title": row.title_zh, "text": row.text_zh},
        "en": {"title": row.title_en, "text": row.text_en},
        "copy": f"【{row.title_zh}】\n{row.text_zh}\n\n{row.title_en}\n{row.text_en}",
    }


def ask(at: Context, actor: Actor | None, text: str, paper: str | None) -> int:
    """A team's question."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = Question(
            team_id=own_team(session, account.id).id,
            paper=None if paper is None else at.contest.find_paper(paper).id,
            text=paragraph(text),
            asked_by=account.id,
            asked_at=at.now(),
        )
        session.add(row)
        session.flush()
        note(at, session, "question.asked", {"question": row.id, "paper": row.paper}, {"text": row.text})
        return row.id


def answer(at: Context, actor: Actor | None, id: int, text: str, *, public: bool) -> None:
    """By an organiser, to the team or to everyone."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Question, id)
        if row is None:
            raise missing("question", "问题")
        row.answer, row.public = paragraph(text), public
        row.answered_by, row.answered_at = acting.account, at.now()
        note(at, session, "question.answered", {"question": id, "public": public}, {"answer": row.answer})
        notify(
            at,
            session,
            members_of(session, row.team_id),
            zh=f"问题 {id} 已回复：{row.answer}",
            en=f"Question {id} was answered: {row.answer}",
            link="/questions",
        )


def questions(at: Context, actor: Actor | None, *, limit: int = 100) -> list[dict[str, Any]]:
    """Those answered to everyone, the team's own, and for an organiser all."""
    with at.database.read() as session:
        wanted = select(Question).order_by(Question.id.desc()).limit(min(limit, 200))
        if actor is None or not actor.is_organiser:
            team = None if actor is None else session.scalar(
                select(Membership.team_id).where(Membership.account_id == actor.account)
            )  # fmt: skip
            public = Question.public.is_(True)
            wanted = wanted.where(public if team is None else public | (Question.team_id == team))
        return [
            {
                "id": row.id,
                "paper": row.paper,
                "text": row.text,
                "asked_at": row.asked_at.isoformat(),
                "answer": row.answer,
                "public": row.public,
            }
            for row in session.scalars(wanted)
        ]


def notifications(at: Context, actor: Actor | None, *, limit: int = 50) -> list[dict[str, Any]]:
    with at.database.read() as session:
        account = require_account(session, actor)
        rows = session.scalars(
            select(Notification)
            .where(Notification.account_id == account.id)
            .order_by(Notification.id.desc())
            .limit(min(limit, 200))
        )
        return [
            {
                "id": row.id,
                "at": row.at.isoformat(),
                "zh": row.zh,
                "en": row.en,
                "link": row.link,
                "read": row.read_at is not None,
            }
            for row in rows
        ]


def mark_read(at: Context, actor: Actor | None) -> None:
    """The actor has seen every notification of their own."""
    with at.database.write() as session:
        account = require_account(session, actor)
        session.execute(
            update(Notification)
            .where(Notification.account_id == account.id, Notification.read_at.is_(None))
            .values(read_at=at.now())
        )


def outbox(
    at: Context, actor: Actor | None, *, unsent: bool = True, limit: int = 100
) -> list[dict[str, Any]]:
    """Mails, for the organiser who sends them by hand where there is no mail server."""
    require_organiser(actor)
    with at.database.read() as session:
        wanted = select(Mail).order_by(Mail.id.desc()).limit(min(limit, 200))
        if unsent:
            wanted = wanted.where(Mail.sent_at.is_(None))
        return [
            {
                "id": row.id,
                "to": row.to,
                "subject": row.subject,
                "text": row.text,
                "created_at": row.created_at.isoformat(),
                "sent_at": None if row.sent_at is None else row.sent_at.isoformat(),
                "error": row.error,
            }
            for row in session.scalars(wanted)
        ]


def mark_sent(at: Context, actor: Actor | None, ids: list[int]) -> int:
    """An organiser sent these by hand; how many were still waiting. Raises Refused for one that there is not."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        marked = 0
        for id in sorted(set(ids)):
            row = session.get(Mail, id)
            if row is None:
                raise missing("mail", "邮件")
            if row.sent_at is None:
                row.sent_at, row.error = at.now(), None
                note(at, session, "mail.sent_by_hand", {"mail": id}, {"to": row.to, "by": acting.account})
                marked += 1
        return marked


def send_mails(at: Context, smtp: str, sender: str, *, most: int = 50) -> int:
    """Sends what waits in the outbox; how many were sent. ``smtp`` is smtp[s]://user:password@host:port."""
    where = urlparse(smtp)
    if where.scheme not in ("smtp", "smtps") or not where.hostname:
        raise InputError("FUXIAN_SMTP: give smtp://user:password@host:port or smtps://... .")
    with at.database.read() as session:
        waiting = session.scalars(
            select(Mail.id)
            .where(Mail.sent_at.is_(None), Mail.attempts < MOST_ATTEMPTS)
            .order_by(Mail.id)
            .limit(most)
        ).all()
    if not waiting:
        return 0
    sent = 0
    secure = ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(where.hostname, where.port or 465, timeout=30, context=secure)
        if where.scheme == "smtps"
        else smtplib.SMTP(where.hostname, where.port or 25, timeout=30)
    ) as server:
        if where.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=secure)
        if where.username:
            server.login(unquote(where.username), unquote(where.password or ""))
        for id in waiting:
            with at.database.write() as session:
                row = session.get_one(Mail, id)
                row.attempts += 1
                message = EmailMessage()
                message["From"], message["To"], message["Subject"] = sender, row.to, row.subject
                message["Message-ID"] = f"<{at.contest.id}-{row.id}@fuxian>"
                message.set_content(row.text)
                try:
                    server.send_message(message)
                except smtplib.SMTPException as error:
                    row.error = str(error)[:500]
                else:
                    row.sent_at, row.error = at.now(), None
                    sent += 1
    return sent
