"""Accounts: made, confirmed by mail, logged in to, banned."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from fuxian.contest.rules.eligibility import Affiliation
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.context import (
    Actor,
    Context,
    Role,
    hash_of,
    missing,
    new_secret,
    note,
    one_line,
    paragraph,
    require_account,
    require_organiser,
    send,
    team_of,
)
from fuxian.contest.service.race import settle_all_of_team
from fuxian.contest.store.models import Account, Notification, Secret, Sighting

SHORTEST_PASSWORD = 10
FAILED_LOGINS, WITHIN = 10, timedelta(minutes=15)
LIFETIMES = {
    "session": timedelta(days=14),
    "token": timedelta(days=365),
    "confirm": timedelta(days=7),
    "reset": timedelta(hours=2),
}
_EMAIL = re.compile(r"[^@\s\"'<>(),;:\\]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_hasher = PasswordHasher()
_UNKNOWN = _hasher.hash("no account has this password")
"""Checked against where there is no such account, so that the time tells nothing."""


def register(
    at: Context,
    email: str,
    name: str,
    password: str,
    *,
    language: str = "zh",
    affiliation: str = "none",
    address: str = "",
    device: str = "",
) -> int:
    """A new account. It can act once the link in the mail was opened."""
    email = _address(email)
    _good_password(password)
    shown = one_line(name, 60, "name", "姓名")
    hashed = _hasher.hash(password)
    with at.database.write() as session:
        if session.scalar(select(Account.id).where(Account.email == email)) is not None:
            raise Refused(
                "email_taken",
                en="there is an account with this e-mail address; log in, or reset its password.",
                zh="该邮箱已注册，请登录或重置密码。",
            )
        account = Account(
            email=email,
            name=shown,
            password=hashed,
            language="en" if language == "en" else "zh",
            affiliation=_affiliation(affiliation),
            identities={},
            created_at=at.now(),
        )
        session.add(account)
        session.flush()
        _saw(at, session, account.id, address, device)
        note(at, session, "account.registered", {"account": account.id}, {"email": email, "name": shown})
        _mail_link(at, session, account, "confirm")
        return account.id


def confirm(at: Context, secret: str) -> int:
    """Opens the account that the mailed link names."""
    with at.database.write() as session:
        account = _spend(at, session, secret, "confirm")
        if account.confirmed_at is None:
            account.confirmed_at = at.now()
            note(at, session, "account.confirmed", {"account": account.id})
        return account.id


def confirm_for(at: Context, actor: Actor | None, id: int) -> None:
    """An organiser who knows whose account it is confirms it: where no mails are sent, or one did not arrive."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        account = _account(session, id)
        if account.confirmed_at is None:
            account.confirmed_at = at.now()
            note(at, session, "account.confirmed", {"account": id, "by": acting.account})


def log_in(at: Context, email: str, password: str, *, address: str = "", device: str = "") -> str:
    """A session's secret. Log-ins that fail are limited, by address and by account."""
    key = email.strip().lower()[:200]
    with at.database.read() as session:
        since = at.now() - WITHIN
        failed = session.scalar(
            select(func.count())
            .select_from(Sighting)
            .where(Sighting.kind == "failed_login", Sighting.value.in_([key, address]), Sighting.at > since)
        )
        account = session.scalar(select(Account).where(Account.email == key))
    if (failed or 0) >= FAILED_LOGINS:
        raise Refused(
            "too_many_logins",
            en="too many log-ins failed; wait a quarter of an hour.",
            zh="登录失败次数过多，请一刻钟后再试。",
        )
    known = account.password if account is not None and account.password is not None else _UNKNOWN
    try:
        _hasher.verify(known, password)
        right = account is not None and account.password is not None
    except (VerifyMismatchError, VerificationError, InvalidHashError):
        right = False
    with at.database.write() as session:
        if not right or account is None:
            for value in {key, address} - {""}:
                session.add(Sighting(kind="failed_login", value=value, at=at.now()))
        else:
            _saw(at, session, account.id, address, device)
            secret = _keep(at, session, account.id, "session")
    if not right:
        raise Refused("wrong_login", en="e-mail address or password is wrong.", zh="邮箱或密码错误。")
    return secret


def log_out(at: Context, secret: str) -> None:
    with at.database.write() as session:
        found = session.get(Secret, hash_of(secret))
        if found is not None:
            session.delete(found)


def ask_reset(at: Context, email: str) -> None:
    """Mails a link to choose a new password. Says nothing of whether there is such an account."""
    with at.database.write() as session:
        account = session.scalar(select(Account).where(Account.email == email.strip().lower()))
        if account is not None:
            _mail_link(at, session, account, "reset")


def reset(at: Context, secret: str, password: str) -> None:
    """A new password by the mailed link; every session and token of before ends."""
    _good_password(password)
    hashed = _hasher.hash(password)
    with at.database.write() as session:
        account = _spend(at, session, secret, "reset")
        account.password = hashed
        account.confirmed_at = account.confirmed_at or at.now()
        session.execute(
            update(Secret)
            .where(Secret.account_id == account.id, Secret.kind.in_(("session", "token")))
            .values(expires_at=at.now())
        )
        note(at, session, "account.password_reset", {"account": account.id})


def new_token(at: Context, actor: Actor | None, name: str) -> str:
    """A token for the API; shown once."""
    with at.database.write() as session:
        account = require_account(session, actor)
        return _keep(at, session, account.id, "token", one_line(name, 60, "name", "名称"))


def revoke_tokens(at: Context, actor: Actor | None) -> None:
    """Ends every token of the account."""
    with at.database.write() as session:
        account = require_account(session, actor)
        session.execute(
            update(Secret)
            .where(Secret.account_id == account.id, Secret.kind == "token")
            .values(expires_at=at.now())
        )


def recognise(at: Context, secret: str, kind: str) -> Actor | None:
    """Who holds this session or token; None where nobody does."""
    with at.database.read() as session:
        found = session.get(Secret, hash_of(secret))
        if (
            found is None
            or found.kind != kind
            or (found.expires_at is not None and found.expires_at <= at.now())
        ):
            return None
        account = session.get(Account, found.account_id)
        return None if account is None else Actor(account.id, Role[account.role])


def profile(at: Context, actor: Actor) -> dict[str, Any]:
    """What an account's own pages show of it."""
    with at.database.read() as session:
        account = session.get_one(Account, actor.account)
        unread = session.scalar(
            select(func.count())
            .select_from(Notification)
            .where(Notification.account_id == account.id, Notification.read_at.is_(None))
        )
        return {
            "id": account.id,
            "email": account.email,
            "name": account.name,
            "role": account.role,
            "affiliation": account.affiliation,
            "language": account.language,
            "timezone": account.timezone,
            "identities": dict(account.identities),
            "confirmed": account.confirmed_at is not None,
            "banned": account.ban_reason if account.banned_at is not None else None,
            "team": team_of(session, account.id),
            "unread": unread or 0,
        }


def link_identity(at: Context, actor: Actor | None, site: str, name: str) -> None:
    """The account's name on one of the sites on which a participant registers besides."""
    with at.database.write() as session:
        account = require_account(session, actor)
        if site not in {one.id for one in at.contest.site}:
            raise missing("site", "网站")
        account.identities = {**account.identities, site: one_line(name, 60, "name", "姓名")}
        note(at, session, "account.identity", {"account": account.id, "site": site}, dict(account.identities))


def identities_agree(account: Account, sites: list[str]) -> bool:
    """Whether the names on all of these sites are given and the same."""
    names = [account.identities.get(site, "").casefold() for site in sites]
    return all(names) and len(set(names)) <= 1


def declare(
    at: Context, actor: Actor | None, *, affiliation: str, language: str, timezone: str | None
) -> None:
    """What the account says of itself."""
    with at.database.write() as session:
        account = require_account(session, actor)
        if timezone:
            try:
                ZoneInfo(timezone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise Refused(
                    "timezone",
                    en="this is no time zone; give one such as Asia/Shanghai.",
                    zh="时区无效，例如 Asia/Shanghai。",
                ) from error
        account.language = "en" if language == "en" else "zh"
        account.timezone = timezone or None
        wanted = _affiliation(affiliation)
        if wanted != account.affiliation:
            # Downwards only an organiser decides: nobody talks himself into a prize.
            if account.affiliation != "none":
                raise Refused("affiliation", en="ask the organiser to change this.", zh="请联系组织方修改。")
            _affiliate(at, session, account, wanted)


def set_affiliation(at: Context, actor: Actor | None, id: int, affiliation: str) -> None:
    """By an organiser."""
    require_organiser(actor)
    with at.database.write() as session:
        _affiliate(at, session, _account(session, id), _affiliation(affiliation))


def set_role(at: Context, actor: Actor | None, id: int, role: str) -> None:
    """By an organiser."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        account = _account(session, id)
        if role not in Role.__members__:
            raise missing("role", "角色")
        account.role = role
        note(at, session, "account.role", {"account": id, "role": role, "by": acting.account})


def ban(at: Context, actor: Actor | None, id: int, reason: str) -> None:
    """By an organiser, with the reason that the account is told."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        account = _account(session, id)
        account.banned_at, account.ban_reason = at.now(), paragraph(reason, 2000)
        session.execute(
            update(Secret)
            .where(Secret.account_id == id, Secret.kind == "session")
            .values(expires_at=at.now())
        )
        note(at, session, "account.banned", {"account": id, "by": acting.account}, {"reason": reason})
        send(at, session, account.email, "账号封禁 / account banned", account.ban_reason)


def unban(at: Context, actor: Actor | None, id: int, reason: str) -> None:
    """By an organiser, after an appeal that holds."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        account = _account(session, id)
        account.banned_at = account.ban_reason = None
        note(
            at,
            session,
            "account.unbanned",
            {"account": id, "by": acting.account},
            {"reason": paragraph(reason)},
        )


def mark_false_identity(at: Context, actor: Actor | None, id: int, found: bool) -> None:
    """By an organiser: a false identity withholds the prize."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        _account(session, id).false_identity = found
        note(at, session, "account.false_identity", {"account": id, "found": found, "by": acting.account})


def hashed(password: str) -> str:
    """The password as it is kept."""
    return _hasher.hash(password)


def make_organiser(at: Context, email: str, name: str, password: str, language: str = "zh") -> int:
    """The first organiser's account, by who runs the server."""
    _good_password(password)
    with at.database.write() as session:
        account = Account(
            email=_address(email),
            name=one_line(name, 60, "name", "姓名"),
            password=_hasher.hash(password),
            language=language,
            role="organiser",
            affiliation="staff",
            identities={},
            confirmed_at=at.now(),
            created_at=at.now(),
        )
        session.add(account)
        session.flush()
        note(at, session, "account.registered", {"account": account.id, "role": "organiser"})
        return account.id


def imported_account(at: Context, session: Session, email: str, name: str) -> Account:
    """The account of somebody who takes part by thread and mail; they claim it by a reset link."""
    found = session.scalar(select(Account).where(Account.email == email))
    if found is not None:
        return found
    account = Account(
        email=email, name=name[:60], identities={}, created_at=at.now(), confirmed_at=at.now(), language="zh"
    )
    session.add(account)
    session.flush()
    note(at, session, "account.registered", {"account": account.id, "imported": True}, {"email": email})
    return account


def _affiliate(at: Context, session: Session, account: Account, affiliation: str) -> None:
    account.affiliation = affiliation
    note(at, session, "account.affiliation", {"account": account.id, "affiliation": affiliation})
    team = team_of(session, account.id)
    if team is not None:
        settle_all_of_team(at, session, team)


def _affiliation(word: str) -> str:
    if word not in Affiliation.__members__:
        raise missing("affiliation", "身份类别")
    return word


def _account(session: Session, id: int) -> Account:
    account = session.get(Account, id)
    if account is None:
        raise missing("account", "账号")
    return account


def _address(email: str) -> str:
    kept = email.strip().lower()
    if len(kept) > 200 or not _EMAIL.fullmatch(kept):
        raise Refused("email", en="this is no e-mail address; mend it.", zh="邮箱地址无效，请修改。")
    return kept


def _good_password(password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= 200:
        raise Refused(
            "password",
            en=f"a password has at least {SHORTEST_PASSWORD} characters; choose a longer one.",
            zh=f"密码至少 {SHORTEST_PASSWORD} 个字符，请重新设置。",
        )


def _keep(at: Context, session: Session, account: int, kind: str, name: str = "") -> str:
    secret, hashed = new_secret()
    session.add(
        Secret(
            hash=hashed,
            account_id=account,
            kind=kind,
            name=name,
            created_at=at.now(),
            expires_at=at.now() + LIFETIMES[kind],
        )
    )
    return secret


def _spend(at: Context, session: Session, secret: str, kind: str) -> Account:
    found = session.get(Secret, hash_of(secret))
    good = found is not None and found.kind == kind and found.used_at is None
    if found is None or not good or (found.expires_at is not None and found.expires_at <= at.now()):
        raise Refused(
            "link",
            en="this link was used or is too old; ask for a new one.",
            zh="链接已使用或已过期，请重新获取。",
        )
    found.used_at = at.now()
    return _account(session, found.account_id)


def _mail_link(at: Context, session: Session, account: Account, kind: str) -> None:
    secret = _keep(at, session, account.id, kind)
    words = {
        "confirm": ("确认邮箱 / confirm your e-mail address", "confirm"),
        "reset": ("重置密码 / choose a new password", "reset"),
    }[kind]
    send(at, session, account.email, words[0], f"{at.address}/{words[1]}?secret={secret}\n")


def _saw(at: Context, session: Session, account: int, address: str, device: str) -> None:
    for kind, value in (("address", address), ("device", device)):
        if value:
            session.add(Sighting(account_id=account, kind=kind, value=value[:200], at=at.now()))
