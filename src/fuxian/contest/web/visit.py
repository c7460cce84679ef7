"""One request of a browser: who asks, in which language, and the answer as a page."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from fuxian.contest.api.caller import context
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import accounts
from fuxian.contest.service.context import Actor, Context, Role, denied, require_organiser
from fuxian.contest.web import render

SESSION, VISIT, LANGUAGE, SAID = "fuxian_session", "fuxian_visit", "fuxian_language", "fuxian_said"
YEAR = 365 * 24 * 3600
Language = Literal["zh", "en"]


@dataclass
class Visit:
    """A request with what every page shows: the account that is logged in, the language, the forms' token."""

    request: Request
    at: Context
    actor: Actor | None
    profile: dict[str, Any] | None
    language: Language
    _new_visit: str | None = field(default=None, repr=False)

    def t(self, zh: str, en: str) -> str:
        """The one of two texts that is in the visitor's language."""
        return zh if self.language == "zh" else en

    @property
    def is_organiser(self) -> bool:
        return self.actor is not None and self.actor.is_organiser

    @property
    def is_judge(self) -> bool:
        return self.actor is not None and self.actor.role >= Role.judge

    @property
    def zone(self) -> ZoneInfo | None:
        """The visitor's own time zone, where the account names one."""
        name = self.profile["timezone"] if self.profile else None
        return ZoneInfo(name) if name else None

    @property
    def device(self) -> str:
        """Tells one browser from another: evidence for suspected duplicate accounts."""
        kept = self.request.cookies.get(VISIT)
        return "" if not kept else hashlib.sha256(kept.encode()).hexdigest()[:16]

    @property
    def address(self) -> str:
        return self.request.client.host if self.request.client else ""

    @cached_property
    def csrf(self) -> str:
        """What each form carries and another site cannot know."""
        kept = self.request.cookies.get(VISIT)
        if not kept:
            kept = self._new_visit = secrets.token_urlsafe(32)
        return token_of(self.at, kept, self.request.cookies.get(SESSION, ""))

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """The page of a template."""
        said = self.request.cookies.get(SAID)
        text = render.template(template).render(render.words(self, said), **values)
        answer = HTMLResponse(text, status_code=status)
        if said is not None:
            answer.delete_cookie(SAID)
        if self._new_visit is not None:
            self.keep(answer, VISIT, self._new_visit, YEAR)
        return answer

    def go(self, where: str, said: str | None = None) -> RedirectResponse:
        """On to another page after a form, which says what was done (a key of ``words.SAID``)."""
        answer = RedirectResponse(where, status_code=303)
        if said is not None:
            self.keep(answer, SAID, said, 60)
        return answer

    def keep(self, answer: HTMLResponse | RedirectResponse, name: str, value: str, seconds: int) -> None:
        """Sets a cookie that no script reads and no other site's form sends."""
        secure = self.at.address.startswith("https://")
        answer.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure)


def token_of(at: Context, visit: str, session: str) -> str:
    """The forms' token of a browser and its session."""
    key = hashlib.sha256(at.signer.key.private_bytes_raw() + b"forms").digest()
    return hmac.new(key, f"{visit}\0{session}".encode(), hashlib.sha256).hexdigest()


def language_of(request: Request) -> Language:
    """As chosen, else as the browser prefers; Chinese where it does not say."""
    chosen = request.cookies.get(LANGUAGE)
    if chosen in ("zh", "en"):
        return "zh" if chosen == "zh" else "en"
    for part in request.headers.get("accept-language", "").lower().split(","):
        if part.strip().startswith("zh"):
            return "zh"
        if part.strip().startswith("en"):
            return "en"
    return "zh"


def visit(request: Request) -> Visit:
    """Whoever asks; a session that has ended is a stranger's."""
    at = context(request)
    session = request.cookies.get(SESSION)
    actor = accounts.recognise(at, session, "session") if session else None
    profile = None if actor is None else accounts.profile(at, actor)
    return Visit(request, at, actor, profile, language_of(request))


def known(one: Annotated[Visit, Depends(visit)]) -> Visit:
    """Raises Refused for a stranger."""
    if one.actor is None:
        raise Refused("log_in", en="log in first.", zh="请先登录。")
    return one


def judge(one: Annotated[Visit, Depends(known)]) -> Visit:
    if not one.is_judge:
        raise denied()
    return one


def organiser(one: Annotated[Visit, Depends(known)]) -> Visit:
    require_organiser(one.actor)
    return one


async def ours(request: Request) -> None:
    """A form that is posted came from one of our pages. Raises Refused."""
    if request.method != "POST":
        return
    form = await request.form()
    kept = request.cookies.get(VISIT, "")
    right = token_of(context(request), kept, request.cookies.get(SESSION, ""))
    if not kept or not hmac.compare_digest(str(form.get("csrf", "")).encode(), right.encode()):
        raise Refused(
            "forged",
            en="this form is too old or came from elsewhere; go back, reload the page, and send it again.",
            zh="表单已过期或来源不明，请返回并刷新页面后重新提交。",
        )


def inside(where: str | None, default: str = "/") -> str:
    """A path of this site to go on to, whatever was asked for."""
    if not where or not where.startswith("/") or where.startswith("//") or "\\" in where:
        return default
    parts = urlsplit(where)
    bad = parts.scheme or parts.netloc or not where.isprintable()
    return default if bad else quote(where, safe="/?&=%-._~+,:@!*'()#")


Anyone = Annotated[Visit, Depends(visit)]
Known = Annotated[Visit, Depends(known)]
Judge = Annotated[Visit, Depends(judge)]
Organiser = Annotated[Visit, Depends(organiser)]
