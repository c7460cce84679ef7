"""Accounts: registered, confirmed, logged in to, described."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Form, Query
from fastapi.responses import Response

from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import accounts, news
from fuxian.contest.web.routes import router as pages
from fuxian.contest.web.visit import LANGUAGE, SESSION, YEAR, Anyone, Known, inside

router = pages()
Short = Annotated[str, Form(max_length=300)]
Secret = Annotated[str, Query(max_length=300)]
Affiliation = Literal["none", "host_employee", "staff", "data_access"]


@router.get("/register")
def new(one: Anyone) -> Response:
    entered = {"email": "", "name": "", "affiliation": "none"}
    return one.page("register.html", entered=entered, refused=None)


@router.post("/register")
def register(
    one: Anyone,
    email: Short,
    name: Short,
    password: Short,
    affiliation: Annotated[Affiliation, Form()] = "none",
) -> Response:
    try:
        accounts.register(
            one.at,
            email,
            name,
            password,
            language=one.language,
            affiliation=affiliation,
            address=one.address,
            device=one.device,
        )
    except Refused as error:
        entered = {"email": email, "name": name, "affiliation": affiliation}
        return one.page("register.html", status=409, entered=entered, refused=error)
    return one.go("/log-in", "registered")


@router.get("/confirm")
def to_confirm(one: Anyone, secret: Secret = "") -> Response:
    """A button, because what scans mails for viruses opens links and must not spend the secret."""
    return one.page("confirm.html", secret=secret)


@router.post("/confirm")
def confirm(one: Anyone, secret: Short) -> Response:
    accounts.confirm(one.at, secret)
    return one.go("/account" if one.actor else "/log-in", "confirmed")


@router.get("/log-in")
def to_log_in(one: Anyone, next: Secret = "") -> Response:
    return one.page("log_in.html", email="", refused=None, next=inside(next, ""))


@router.post("/log-in")
def log_in(one: Anyone, email: Short, password: Short, next: Short = "") -> Response:
    try:
        secret = accounts.log_in(one.at, email, password, address=one.address, device=one.device)
    except Refused as error:
        return one.page("log_in.html", status=401, email=email, refused=error, next=inside(next, ""))
    actor = accounts.recognise(one.at, secret, "session")
    answer = one.go(inside(next, "/"))
    one.keep(answer, SESSION, secret, int(accounts.LIFETIMES["session"].total_seconds()))
    if actor is not None and LANGUAGE not in one.request.cookies:
        one.keep(answer, LANGUAGE, accounts.profile(one.at, actor)["language"], YEAR)
    return answer


@router.post("/log-out")
def log_out(one: Anyone) -> Response:
    accounts.log_out(one.at, one.request.cookies.get(SESSION, ""))
    answer = one.go("/", "logged_out")
    answer.delete_cookie(SESSION)
    return answer


@router.get("/forgotten")
def forgotten(one: Anyone) -> Response:
    return one.page("forgotten.html")


@router.post("/forgotten")
def ask_reset(one: Anyone, email: Short) -> Response:
    accounts.ask_reset(one.at, email)
    return one.go("/log-in", "reset_asked")


@router.get("/reset")
def to_reset(one: Anyone, secret: Secret = "") -> Response:
    return one.page("reset.html", secret=secret, refused=None)


@router.post("/reset")
def reset(one: Anyone, secret: Short, password: Short) -> Response:
    try:
        accounts.reset(one.at, secret, password)
    except Refused as error:
        return one.page("reset.html", status=409, secret=secret, refused=error)
    return one.go("/log-in", "reset")


@router.get("/account")
def account(one: Known) -> Response:
    return one.page("account.html", token=None)


@router.post("/account")
def declare(
    one: Known,
    language: Annotated[Literal["zh", "en"], Form()],
    affiliation: Annotated[Affiliation, Form()],
    timezone: Short = "",
) -> Response:
    accounts.declare(one.at, one.actor, affiliation=affiliation, language=language, timezone=timezone.strip())
    answer = one.go("/account", "kept")
    one.keep(answer, LANGUAGE, language, YEAR)
    return answer


@router.post("/account/identity/{site}")
def identity(one: Known, site: str, name: Short) -> Response:
    accounts.link_identity(one.at, one.actor, site, name)
    return one.go("/account", "kept")


@router.post("/account/token")
def token(one: Known, name: Short) -> Response:
    """Shown once: only its hash is kept."""
    return one.page("account.html", token=accounts.new_token(one.at, one.actor, name))


@router.post("/account/tokens/end")
def end_tokens(one: Known) -> Response:
    accounts.revoke_tokens(one.at, one.actor)
    return one.go("/account", "done")


@router.get("/notifications")
def notifications(one: Known) -> Response:
    return one.page("notifications.html", rows=news.notifications(one.at, one.actor))


@router.post("/notifications/read")
def read(one: Known) -> Response:
    news.mark_read(one.at, one.actor)
    return one.go("/notifications")
