"""What every action needs: the contest, its database, its clock, its folder, its key; and who acts."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fuxian.contest.artifacts import Artifacts
from fuxian.contest.keys import Signer
from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import Contest
from fuxian.contest.store import log
from fuxian.contest.store.database import Database
from fuxian.contest.store.models import Account, Event, Mail, Membership, Notification


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """One contest at work."""

    contest: Contest
    database: Database
    folder: Path
    artifacts: Artifacts
    signer: Signer
    clock: Callable[[], datetime] = utc_now
    readme: Callable[[str], str] = field(default=lambda repo: "")
    """Fetches the README of a repository; a seam, because it goes over the network."""
    imported: bool = False
    """What is done was posted or mailed before, at the clock's time: events then say when."""
    address: str = ""
    """Where the pages are served, for links in mails."""

    def now(self) -> datetime:
        return self.clock().astimezone(UTC)


class Role(IntEnum):
    """What an account may do; a higher one may do what a lower one may."""

    entrant = 1
    judge = 2
    organiser = 3


@dataclass(frozen=True)
class Actor:
    """Who acts: an account that was recognised by its session or token."""

    account: int
    role: Role

    @property
    def is_organiser(self) -> bool:
        return self.role >= Role.organiser


def denied() -> Refused:
    return Refused(
        "denied", en="you may not do this; log in as who may.", zh="您无权执行此操作，请以有权限的账号登录。"
    )


def missing(en: str, zh: str) -> Refused:
    return Refused(
        "missing", en=f"there is no such {en}; look at the list.", zh=f"没有这样的{zh}，请查看列表。"
    )


def require_organiser(actor: Actor | None) -> Actor:
    if actor is None or not actor.is_organiser:
        raise denied()
    return actor


def require_account(session: Session, actor: Actor | None) -> Account:
    """The acting account: known, confirmed, not banned."""
    account = None if actor is None else session.get(Account, actor.account)
    if account is None:
        raise Refused("log_in", en="log in first.", zh="请先登录。")
    if account.banned_at is not None:
        raise Refused(
            "banned",
            en=f"this account is banned: {account.ban_reason}; you can appeal by mail to the organiser.",
            zh=f"该账号已被封禁：{account.ban_reason}；可发邮件向组织方申诉。",
        )
    if account.confirmed_at is None:
        raise Refused(
            "unconfirmed",
            en="confirm your e-mail address first; the link was mailed to you, and an organiser can confirm it too.",
            zh="请先确认邮箱：确认链接已发送到您的邮箱，组织者也可代为确认。",
        )
    return account


def team_of(session: Session, account: int) -> int | None:
    return session.scalar(select(Membership.team_id).where(Membership.account_id == account))


def members_of(session: Session, team: int) -> list[int]:
    return list(session.scalars(select(Membership.account_id).where(Membership.team_id == team)))


def new_secret() -> tuple[str, str]:
    """A secret for somebody to keep, and its hash for us."""
    secret = secrets.token_urlsafe(32)
    return secret, hash_of(secret)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def note(
    at: Context,
    session: Session,
    kind: str,
    public: dict[str, Any],
    private: dict[str, Any] | None = None,
) -> Event:
    """An event of the audit log."""
    if at.imported:
        public = {**public, "posted_at": at.now().isoformat()}
    return log.append(session, at.now(), kind, public, private)


def notify(
    at: Context,
    session: Session,
    accounts: Iterable[int],
    *,
    zh: str,
    en: str,
    link: str = "",
) -> None:
    """A notification in the pages and a mail, to each account."""
    for id in accounts:
        account = session.get(Account, id)
        if account is None:
            continue
        session.add(Notification(account_id=id, at=at.now(), zh=zh, en=en, link=link))
        text = zh if account.language == "zh" else en
        title = at.contest.title.zh if account.language == "zh" else at.contest.title.en
        send(
            at,
            session,
            account.email,
            f"[{title}] {text.splitlines()[0][:80]}",
            f"{text}\n\n{at.address}{link}\n",
        )


def send(at: Context, session: Session, to: str, subject: str, text: str) -> None:
    """Puts a mail into the outbox."""
    one_line = " ".join(subject.split())
    session.add(Mail(to=to, subject=one_line, text=text, created_at=at.now()))


def one_line(text: str, most: int, en: str, zh: str) -> str:
    """A short text of an entrant's, without anything that is not printable. Raises Refused where none is left."""
    kept = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not kept or len(kept) > most:
        raise Refused(
            "text",
            en=f"{en}: give 1 to {most} printable characters.",
            zh=f"{zh}：请填写 1 到 {most} 个可见字符。",
        )
    return kept


def paragraph(text: str, most: int = 10_000) -> str:
    """A longer text; line breaks stay."""
    kept = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
    if not kept or len(kept) > most:
        raise Refused("text", en=f"give a text of 1 to {most} characters.", zh=f"请填写 1 到 {most} 个字符。")
    return kept
