"""What everybody may read, and accounts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fuxian.contest.api.caller import Anybody, At, Known
from fuxian.contest.audit import audit_for_everyone, links_of
from fuxian.contest.board import thread, views
from fuxian.contest.service import accounts, final, news

router = APIRouter()
Small = Annotated[str, Field(max_length=300)]
Limit = Annotated[int, Query(ge=1, le=views.MOST)]
After = Annotated[int, Query(ge=0, le=2**31 - 1)]
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=20_000)


@router.get("/contest")
def contest(at: At) -> dict[str, Any]:
    """Dates, limits, papers, prizes, rules and texts, and the key that signs receipts."""
    found = at.contest.model_dump(mode="json")
    return {**found, "key": at.signer.public, "now": at.now().isoformat()}


@router.get("/board")
def board(at: At, at_time: Annotated[AwareDatetime | None, Query(alias="at")] = None) -> dict[str, Any]:
    """Today, or as it was at a moment."""
    return views.board(at, day=at_time)


@router.get("/board/issue", response_class=PlainTextResponse)
def board_issue(at: At) -> str:
    """The thread's table."""
    return thread.table(at)


@router.get("/papers/{paper}")
def paper(at: At, paper: Small, limit: Limit = 50) -> dict[str, Any]:
    return views.paper(at, paper, limit=limit)


@router.get("/submissions")
def submissions(
    at: At,
    paper: Small | None = None,
    status: Annotated[list[Small] | None, Query(max_length=10)] = None,
    team: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    late: bool = False,
    order: Literal["newest", "oldest"] = "newest",
    limit: Limit = 50,
    after: After = 0,
) -> dict[str, Any]:
    return views.submissions(
        at,
        paper=paper,
        status=status or (),
        team=team,
        late=late,
        newest_first=order == "newest",
        limit=limit,
        after=after,
    )


@router.get("/submissions/{id}")
def submission(at: At, actor: Anybody, id: Id) -> dict[str, Any]:
    return views.submission(at, actor, id)


@router.get("/teams")
def teams(at: At, search: Small = "", limit: Limit = 50, after: After = 0) -> dict[str, Any]:
    return views.teams(at, search=search, limit=limit, after=after)


@router.get("/winners")
def winners(at: At) -> list[dict[str, Any]]:
    return final.winners(at)


@router.get("/final")
def final_results(at: At) -> dict[str, Any]:
    return final.results(at)


@router.get("/announcements")
def announcements(at: At, limit: Limit = 50) -> list[dict[str, Any]]:
    return news.announcements(at, limit=limit)


@router.get("/questions")
def questions(at: At, actor: Anybody, limit: Limit = 50) -> list[dict[str, Any]]:
    return news.questions(at, actor, limit=limit)


@router.get("/queue")
def queue(at: At) -> dict[str, Any]:
    """How much waits, and who works on it."""
    found = views.queue(at)
    found.pop("troubled")
    return found


@router.get("/log")
def log(at: At, after: After = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> dict[str, Any]:
    """The public audit log: enough to recompute the winners."""
    items = []
    for link in links_of(at.database, after):
        items.append(link.as_dict())
        if len(items) == limit:
            break
    return {"items": items, "next": items[-1]["number"] if len(items) == limit else None}


@router.get("/audit")
def audit(at: At) -> dict[str, Any]:
    """The winners recomputed from the log, and whether everything agrees."""
    return audit_for_everyone(at.contest, at.database).as_dict()


class NewAccount(Body):
    email: Small
    name: Small
    password: Small
    language: Literal["zh", "en"] = "zh"
    affiliation: Literal["none", "host_employee", "staff", "data_access"] = "none"


class Secret(Body):
    secret: Small


class Login(Body):
    email: Small
    password: Small
    name: Small = "api"


class Email(Body):
    email: Small


class Reset(Body):
    secret: Small
    password: Small


class Profile(Body):
    language: Literal["zh", "en"] = "zh"
    affiliation: Literal["none", "host_employee", "staff", "data_access"] = "none"
    timezone: Small | None = None


class Identity(Body):
    name: Small


def _from(request: Request) -> str:
    return request.client.host if request.client else ""


@router.post("/accounts", status_code=201)
def register(at: At, request: Request, body: NewAccount) -> dict[str, int]:
    """A new account; a link to confirm it is mailed."""
    id = accounts.register(
        at,
        body.email,
        body.name,
        body.password,
        language=body.language,
        affiliation=body.affiliation,
        address=_from(request),
    )
    return {"account": id}


@router.post("/accounts/confirm")
def confirm(at: At, body: Secret) -> dict[str, int]:
    return {"account": accounts.confirm(at, body.secret)}


@router.post("/tokens", status_code=201)
def new_token(at: At, request: Request, body: Login) -> dict[str, str]:
    """A token for the API, for e-mail address and password; shown once."""
    session = accounts.log_in(at, body.email, body.password, address=_from(request))
    actor = accounts.recognise(at, session, "session")
    try:
        return {"token": accounts.new_token(at, actor, body.name)}
    finally:
        accounts.log_out(at, session)


@router.delete("/tokens", status_code=204)
def revoke_tokens(at: At, actor: Known) -> Response:
    """Ends every token of the account."""
    accounts.revoke_tokens(at, actor)
    return Response(status_code=204)


@router.post("/password/ask", status_code=202)
def ask_reset(at: At, body: Email) -> dict[str, str]:
    accounts.ask_reset(at, body.email)
    return {"said": "if there is such an account, a link was mailed"}


@router.post("/password/reset")
def reset(at: At, body: Reset) -> dict[str, str]:
    accounts.reset(at, body.secret, body.password)
    return {"said": "the password is changed"}


@router.get("/me")
def me(at: At, actor: Known) -> dict[str, Any]:
    """The caller's account, team and steps."""
    return {
        "account": actor.account,
        "role": actor.role.name,
        "team": views.my_team(at, actor),
        "steps": views.steps(at, actor),
    }


@router.put("/me")
def declare(at: At, actor: Known, body: Profile) -> dict[str, str]:
    accounts.declare(at, actor, affiliation=body.affiliation, language=body.language, timezone=body.timezone)
    return {"said": "kept"}


@router.put("/me/identities/{site}")
def identity(at: At, actor: Known, site: Small, body: Identity) -> dict[str, str]:
    """The caller's name on one of the sites on which participants register besides."""
    accounts.link_identity(at, actor, site, body.name)
    return {"said": "kept"}


@router.get("/me/notifications")
def notifications(at: At, actor: Known, limit: Limit = 50) -> list[dict[str, Any]]:
    return news.notifications(at, actor, limit=limit)
