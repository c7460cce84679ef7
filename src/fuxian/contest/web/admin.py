"""What organisers see and do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Form, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from fuxian.contest.audit import links_of
from fuxian.contest.board import organiser_views, views
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import accounts, disputes, duplicates, final, news, rulings, submissions, teams
from fuxian.contest.web.routes import router as pages
from fuxian.contest.web.visit import Organiser

router = pages("/admin")
Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Short = Annotated[str, Form(max_length=300)]
Long = Annotated[str, Form(max_length=10_000)]
Search = Annotated[str, Query(max_length=100)]
After = Annotated[int, Query(ge=0, le=2**31 - 1)]
Affiliation = Literal["none", "host_employee", "staff", "data_access"]


@router.get("")
def overview(one: Organiser) -> Response:
    waiting = organiser_views.waiting(one.at, one.actor)
    return one.page("admin/overview.html", waiting=waiting, queue=views.queue(one.at))


@router.get("/queue")
def queue(one: Organiser) -> Response:
    return one.page(
        "admin/queue.html",
        queue=views.queue(one.at),
        review=views.submissions(one.at, status=["review"], newest_first=False)["items"],
        late=views.submissions(one.at, late=True, newest_first=False)["items"],
    )


@router.post("/submissions/{id}/decision")
def decide(
    one: Organiser,
    id: int,
    ruling: Annotated[Literal["accepted", "rejected", "again"], Form()],
    reasons: Long,
) -> Response:
    rulings.decide(one.at, one.actor, id, ruling, reasons)
    return one.go(f"/submissions/{id}", "decided")


@router.get("/rejudges")
def rejudges(one: Organiser) -> Response:
    return one.page("admin/rejudges.html", rows=organiser_views.rejudges(one.at, one.actor))


@router.post("/rejudges")
def open_rejudge(one: Organiser, submissions: Short, reasons: Long) -> Response:
    """``submissions``: their ids, however they are set apart."""
    ids = [int(word) for word in re.findall(r"[0-9]{1,9}", submissions)]
    if not ids:
        raise Refused("ids", en="name submissions by their ids.", zh="请给出提交编号。")
    return one.go(f"/admin/rejudges/{disputes.open_rejudge(one.at, one.actor, ids, reasons)}", "opened")


@router.get("/rejudges/{id}")
def comparison(one: Organiser, id: int) -> Response:
    return one.page("admin/rejudge.html", found=disputes.comparison(one.at, one.actor, id))


@router.post("/rejudges/{id}/apply")
def apply(one: Organiser, id: int) -> Response:
    disputes.apply_rejudge(one.at, one.actor, id)
    return one.go(f"/admin/rejudges/{id}", "applied")


@router.post("/rejudges/{id}/cancel")
def cancel(one: Organiser, id: int) -> Response:
    disputes.cancel_rejudge(one.at, one.actor, id)
    return one.go(f"/admin/rejudges/{id}", "cancelled")


@router.get("/disputes")
def open_disputes(
    one: Organiser, state: Annotated[Literal["open", "upheld", "dismissed"], Query()] = "open"
) -> Response:
    return one.page("admin/disputes.html", rows=disputes.listed(one.at, one.actor, state), state=state)


@router.post("/disputes/{id}")
def answer_dispute(
    one: Organiser, id: int, holds: Annotated[Literal["yes", "no"], Form()], reasons: Long
) -> Response:
    rejudge = disputes.answer_dispute(one.at, one.actor, id, holds=holds == "yes", reasons=reasons)
    return one.go("/admin/disputes" if rejudge is None else f"/admin/rejudges/{rejudge}", "answered")


@router.get("/duplicates")
def clusters(one: Organiser) -> Response:
    return one.page("admin/duplicates.html", rows=duplicates.clusters(one.at, one.actor))


@router.post("/duplicates")
def suspect(one: Organiser) -> Response:
    duplicates.suspect(one.at, one.actor)
    return one.go("/admin/duplicates", "done")


@router.post("/duplicates/{id}")
def decide_duplicates(
    one: Organiser, id: int, same: Annotated[Literal["yes", "no"], Form()], reasons: Long
) -> Response:
    duplicates.decide(one.at, one.actor, id, duplicates=same == "yes", reason=reasons)
    return one.go("/admin/duplicates", "decided")


@router.get("/people")
def people(one: Organiser, search: Search = "", after: After = 0) -> Response:
    found = organiser_views.accounts(one.at, one.actor, search=search, after=after)
    return one.page("admin/people.html", found=found, search=search)


@router.post("/people/{id}/confirm")
def confirm_account(one: Organiser, id: int) -> Response:
    accounts.confirm_for(one.at, one.actor, id)
    return one.go("/admin/people", "done")


@router.post("/people/{id}/role")
def role(
    one: Organiser, id: int, role: Annotated[Literal["entrant", "judge", "organiser"], Form()]
) -> Response:
    accounts.set_role(one.at, one.actor, id, role)
    return one.go("/admin/people", "done")


@router.post("/people/{id}/affiliation")
def affiliation(one: Organiser, id: int, affiliation: Annotated[Affiliation, Form()]) -> Response:
    accounts.set_affiliation(one.at, one.actor, id, affiliation)
    return one.go("/admin/people", "done")


@router.post("/people/{id}/false-identity")
def false_identity(one: Organiser, id: int, found: Annotated[Literal["yes", "no"], Form()]) -> Response:
    accounts.mark_false_identity(one.at, one.actor, id, found == "yes")
    return one.go("/admin/people", "done")


@router.post("/people/{id}/ban")
def ban(one: Organiser, id: int, reasons: Long) -> Response:
    accounts.ban(one.at, one.actor, id, reasons)
    return one.go("/admin/people", "done")


@router.post("/people/{id}/unban")
def unban(one: Organiser, id: int, reasons: Long) -> Response:
    accounts.unban(one.at, one.actor, id, reasons)
    return one.go("/admin/people", "done")


@router.get("/teams")
def all_teams(one: Organiser, search: Search = "", after: After = 0) -> Response:
    found = organiser_views.teams(one.at, one.actor, search=search, after=after)
    return one.page(
        "admin/teams.html", found=found, search=search, grants=organiser_views.grants(one.at, one.actor)
    )


@router.post("/teams/{id}/disqualify")
def disqualify(one: Organiser, id: int, reasons: Long) -> Response:
    teams.disqualify(one.at, one.actor, id, reasons)
    return one.go("/admin/teams", "done")


@router.post("/teams/{id}/reinstate")
def reinstate(one: Organiser, id: int, reasons: Long) -> Response:
    teams.reinstate(one.at, one.actor, id, reasons)
    return one.go("/admin/teams", "done")


@router.post("/teams/{id}/grant")
def grant(
    one: Organiser, id: int, hours: Annotated[float, Form(allow_inf_nan=False)], note: Short
) -> Response:
    submissions.grant(one.at, one.actor, id, hours, note)
    return one.go("/admin/teams", "done")


@router.get("/announcements")
def to_announce(one: Organiser) -> Response:
    return one.page("admin/announce.html", rows=news.announcements(one.at, limit=10))


@router.post("/announcements")
def announce(
    one: Organiser, title_zh: Short, text_zh: Long, title_en: Short, text_en: Long, paper: Short = ""
) -> Response:
    id = news.announce(one.at, one.actor, zh=(title_zh, text_zh), en=(title_en, text_en), paper=paper or None)
    return one.go(f"/announcements/{id}", "announced")


@router.post("/questions/{id}")
def reply(
    one: Organiser, id: int, text: Long, public: Annotated[Literal["yes", "no"], Form()] = "no"
) -> Response:
    news.answer(one.at, one.actor, id, text, public=public == "yes")
    return one.go("/questions", "answered")


@router.get("/prizes")
def prizes(one: Organiser) -> Response:
    return one.page("admin/prizes.html", winners=final.winners(one.at))


@router.post("/deliverables/{paper}/{deliverable}")
def confirm(
    one: Organiser,
    paper: str,
    deliverable: str,
    good: Annotated[Literal["yes", "no"], Form()],
    note: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    final.confirm(one.at, one.actor, paper, deliverable, good=good == "yes", text=note)
    return one.go("/admin/prizes", "done")


@router.post("/prizes/{paper}/{what}")
def mark(
    one: Organiser,
    paper: str,
    what: str,
    state: Annotated[Literal["open", "promised", "paid", "declined"], Form()],
) -> Response:
    final.mark(one.at, one.actor, paper, what, state)
    return one.go("/admin/prizes", "done")


@router.get("/outbox")
def outbox(one: Organiser, all: bool = False) -> Response:
    rows = news.outbox(one.at, one.actor, unsent=not all)
    return one.page("admin/outbox.html", rows=rows, all=all)


@router.post("/outbox/sent")
def mark_sent(one: Organiser, mail: Annotated[list[Id], Form(min_length=1, max_length=200)]) -> Response:
    """Mails that the organiser sent by hand."""
    news.mark_sent(one.at, one.actor, mail)
    return one.go("/admin/outbox", "done")


@router.get("/log")
def log(one: Organiser, after: After = 0) -> Response:
    """The audit log with its private parts."""
    return one.page("admin/log.html", rows=organiser_views.whole_log(one.at, one.actor, after=after))


@router.get("/exports")
def exports(one: Organiser) -> Response:
    return one.page("admin/exports.html", imported=organiser_views.imported(one.at, one.actor))


@router.get("/exports/log.jsonl")
def export_log(one: Organiser) -> Response:
    """The public log, as ``fuxian contest audit --log`` reads it."""
    return _download("log.jsonl", (link.as_dict() for link in links_of(one.at.database)))


@router.get("/exports/submissions.jsonl")
def export_submissions(one: Organiser) -> Response:
    def rows() -> Iterator[dict[str, Any]]:
        after: int | None = 0
        while after is not None:
            part = views.submissions(one.at, newest_first=False, limit=views.MOST, after=after)
            yield from part["items"]
            after = part["next"]

    return _download("submissions.jsonl", rows())


@router.get("/exports/winners.jsonl")
def export_winners(one: Organiser) -> Response:
    return _download("winners.jsonl", iter(final.winners(one.at)))


def _download(name: str, rows: Iterator[dict[str, Any]]) -> Response:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return StreamingResponse(
        lines,
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
