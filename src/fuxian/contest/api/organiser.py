"""What organisers do. Whether the caller is one is asked by each action."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from fuxian.contest.api.caller import At, Known
from fuxian.contest.api.public import Body, Id, Limit, Small
from fuxian.contest.board import views
from fuxian.contest.service import accounts, disputes, duplicates, final, news, rulings, submissions, teams
from fuxian.contest.service.context import require_organiser

router = APIRouter(prefix="/admin")
Long = Annotated[str, Field(max_length=10_000)]


class Reasons(Body):
    reasons: Long


class Decision(Reasons):
    ruling: Literal["accepted", "rejected", "again"]


class Answer(Reasons):
    holds: bool


class Rejudge(Reasons):
    submissions: Annotated[list[Id], Field(min_length=1, max_length=1000)]


class Mails(Body):
    mails: Annotated[list[Id], Field(min_length=1, max_length=200)]


class Role(Body):
    role: Literal["entrant", "judge", "organiser"]


class Affiliation(Body):
    affiliation: Literal["none", "host_employee", "staff", "data_access"]


class Grant(Body):
    hours: Annotated[float, Field(allow_inf_nan=False, gt=-1e5, lt=1e5)]
    note: Long


class Found(Body):
    found: bool


class Titled(Body):
    title: Small
    text: Long


class Announcement(Body):
    zh: Titled
    en: Titled
    paper: Small | None = None


class Reply(Body):
    text: Long
    public: bool = False


class Good(Body):
    good: bool
    note: Long = ""


class State(Body):
    state: Literal["open", "promised", "paid", "declined"]
    note: Long = ""


class Suspicion(Reasons):
    duplicates: bool


SAID = {"said": "done"}


@router.get("/queue")
def queue(at: At, actor: Known) -> dict[str, Any]:
    require_organiser(actor)
    return views.queue(at)


@router.post("/submissions/{id}/decision")
def decide(at: At, actor: Known, id: Id, body: Decision) -> dict[str, str]:
    """What the checker could not decide, with reasons on record."""
    rulings.decide(at, actor, id, body.ruling, body.reasons)
    return SAID


@router.post("/rejudges", status_code=201)
def open_rejudge(at: At, actor: Known, body: Rejudge) -> dict[str, int]:
    return {"rejudge": disputes.open_rejudge(at, actor, body.submissions, body.reasons)}


@router.get("/rejudges/{id}")
def comparison(at: At, actor: Known, id: Id) -> dict[str, Any]:
    """What applying it would change."""
    return disputes.comparison(at, actor, id)


@router.post("/rejudges/{id}/apply")
def apply(at: At, actor: Known, id: Id) -> dict[str, str]:
    disputes.apply_rejudge(at, actor, id)
    return SAID


@router.post("/rejudges/{id}/cancel")
def cancel(at: At, actor: Known, id: Id) -> dict[str, str]:
    disputes.cancel_rejudge(at, actor, id)
    return SAID


@router.get("/disputes")
def open_disputes(
    at: At, actor: Known, state: Literal["open", "upheld", "dismissed"] = "open"
) -> list[dict[str, Any]]:
    return disputes.listed(at, actor, state)


@router.post("/disputes/{id}")
def answer(at: At, actor: Known, id: Id, body: Answer) -> dict[str, int | None]:
    """One that holds is judged again."""
    return {"rejudge": disputes.answer_dispute(at, actor, id, holds=body.holds, reasons=body.reasons)}


@router.post("/teams/{id}/disqualify")
def disqualify(at: At, actor: Known, id: Id, body: Reasons) -> dict[str, str]:
    teams.disqualify(at, actor, id, body.reasons)
    return SAID


@router.post("/teams/{id}/reinstate")
def reinstate(at: At, actor: Known, id: Id, body: Reasons) -> dict[str, str]:
    teams.reinstate(at, actor, id, body.reasons)
    return SAID


@router.post("/teams/{id}/grants", status_code=201)
def grant(at: At, actor: Known, id: Id, body: Grant) -> dict[str, str]:
    submissions.grant(at, actor, id, body.hours, body.note)
    return SAID


@router.post("/accounts/{id}/confirm")
def confirm_account(at: At, actor: Known, id: Id) -> dict[str, str]:
    """In place of the link that is mailed."""
    accounts.confirm_for(at, actor, id)
    return SAID


@router.put("/accounts/{id}/role")
def role(at: At, actor: Known, id: Id, body: Role) -> dict[str, str]:
    accounts.set_role(at, actor, id, body.role)
    return SAID


@router.put("/accounts/{id}/affiliation")
def affiliation(at: At, actor: Known, id: Id, body: Affiliation) -> dict[str, str]:
    accounts.set_affiliation(at, actor, id, body.affiliation)
    return SAID


@router.put("/accounts/{id}/false-identity")
def false_identity(at: At, actor: Known, id: Id, body: Found) -> dict[str, str]:
    accounts.mark_false_identity(at, actor, id, body.found)
    return SAID


@router.post("/accounts/{id}/ban")
def ban(at: At, actor: Known, id: Id, body: Reasons) -> dict[str, str]:
    accounts.ban(at, actor, id, body.reasons)
    return SAID


@router.post("/accounts/{id}/unban")
def unban(at: At, actor: Known, id: Id, body: Reasons) -> dict[str, str]:
    accounts.unban(at, actor, id, body.reasons)
    return SAID


@router.post("/duplicates")
def suspect(at: At, actor: Known) -> dict[str, int]:
    """Looks for accounts that seem to be one person."""
    return {"new": duplicates.suspect(at, actor)}


@router.get("/duplicates")
def clusters(at: At, actor: Known) -> list[dict[str, Any]]:
    return duplicates.clusters(at, actor)


@router.post("/duplicates/{id}")
def decide_duplicates(at: At, actor: Known, id: Id, body: Suspicion) -> dict[str, str]:
    duplicates.decide(at, actor, id, duplicates=body.duplicates, reason=body.reasons)
    return SAID


@router.post("/announcements", status_code=201)
def announce(at: At, actor: Known, body: Announcement) -> dict[str, int]:
    zh, en = (body.zh.title, body.zh.text), (body.en.title, body.en.text)
    return {"announcement": news.announce(at, actor, zh=zh, en=en, paper=body.paper)}


@router.post("/questions/{id}")
def reply(at: At, actor: Known, id: Id, body: Reply) -> dict[str, str]:
    news.answer(at, actor, id, body.text, public=body.public)
    return SAID


@router.get("/outbox")
def outbox(
    at: At, actor: Known, unsent: Annotated[bool, Query()] = True, limit: Limit = 50
) -> list[dict[str, Any]]:
    return news.outbox(at, actor, unsent=unsent, limit=limit)


@router.post("/outbox/sent")
def mark_sent(at: At, actor: Known, body: Mails) -> dict[str, int]:
    """Mails that an organiser sent by hand."""
    return {"marked": news.mark_sent(at, actor, body.mails)}


@router.post("/deliverables/{paper}/{deliverable}")
def confirm(at: At, actor: Known, paper: Small, deliverable: Small, body: Good) -> dict[str, str]:
    final.confirm(at, actor, paper, deliverable, good=body.good, text=body.note)
    return SAID


@router.post("/prizes/{paper}/{what}")
def mark(at: At, actor: Known, paper: Small, what: Small, body: State) -> dict[str, str]:
    """A prize paid, or the state of a finalist's entitlement."""
    final.mark(at, actor, paper, what, body.state, body.note)
    return SAID
