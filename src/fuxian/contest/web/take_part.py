"""What teams do in the pages: found and join, register for papers, submit, dispute, ask, deliver."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Form, Query, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask

from fuxian.contest.board import views
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import disputes, final, news, rehearsal, submissions, teams
from fuxian.contest.web.routes import router as pages
from fuxian.contest.web.visit import Known, Visit

router = pages()
Short = Annotated[str, Form(max_length=300)]
Long = Annotated[str, Form(max_length=10_000)]
Address = Annotated[str, Form(max_length=500)]
Id = Annotated[int, Form(ge=1, le=2**31 - 1)]


def _team_page(one: Visit, **values: Any) -> Response:
    assert one.actor is not None  # noqa: S101 - Known
    team = views.my_team(one.at, one.actor)
    mine = [] if team is None else views.submissions(one.at, team=team["id"], limit=20)["items"]
    won = [] if team is None else [line for line in final.winners(one.at) if line["team"] == team["id"]]
    names = {} if team is None else {
        offer["into"]: views.team(one.at, offer["into"])["name"] for offer in team["merge_offers"]
    }  # fmt: skip
    shown = {"invite": None, "secret": ""} | values
    return one.page(
        "team.html",
        team=team,
        rows=mine,
        won=won,
        offered=names,
        steps=views.steps(one.at, one.actor),
        captain=team is not None and one.profile is not None and team["captain"] == one.profile["id"],
        **shown,
    )


@router.get("/team")
def team(one: Known) -> Response:
    return _team_page(one)


@router.post("/team/found")
def found(one: Known, name: Short) -> Response:
    teams.found(one.at, one.actor, name)
    return one.go("/team", "founded")


@router.post("/team/invite")
def invite(one: Known) -> Response:
    """The link is shown once: only its hash is kept."""
    secret = teams.invite(one.at, one.actor)
    address = one.at.address or str(one.request.base_url).rstrip("/")
    return _team_page(one, invite=f"{address}/team/join?secret={secret}")


@router.get("/team/join")
def to_join(one: Known, secret: Annotated[str, Query(max_length=300)] = "") -> Response:
    return _team_page(one, secret=secret)


@router.post("/team/join")
def join(one: Known, secret: Short) -> Response:
    # People paste the whole link as often as the secret in it.
    teams.join(one.at, one.actor, secret.strip().rpartition("secret=")[2])
    return one.go("/team", "joined")


def _action(path: str, act: Callable[[Any, Any], Any], said: str) -> None:
    @router.post(f"/team/{path}", name=f"team {path}")
    def do(one: Known) -> Response:
        act(one.at, one.actor)
        return one.go("/team", said)


_action("links/end", teams.withdraw_invites, "links_ended")
_action("leave", teams.leave, "left")
_action("dissolve", teams.dissolve, "dissolved")


@router.post("/team/remove")
def remove(one: Known, account: Id) -> Response:
    teams.remove(one.at, one.actor, account)
    return one.go("/team", "removed")


@router.post("/team/captain")
def hand_over(one: Known, account: Id) -> Response:
    teams.hand_over(one.at, one.actor, account)
    return one.go("/team", "handed_over")


@router.post("/team/merge")
def offer_merge(one: Known, team: Id) -> Response:
    teams.offer_merge(one.at, one.actor, team)
    return one.go("/team", "merge_offered")


@router.post("/team/merge/{offer}")
def accept_merge(one: Known, offer: int) -> Response:
    teams.accept_merge(one.at, one.actor, offer)
    return one.go("/team", "merged")


@router.get("/papers/{paper}/register")
def to_register(one: Known, paper: str) -> Response:
    return one.page("paper_register.html", paper=one.at.contest.find_paper(paper), repo="", refused=None)


@router.post("/papers/{paper}/register")
def register(one: Known, paper: str, repo: Address = "") -> Response:
    found = one.at.contest.find_paper(paper)
    try:
        submissions.register_paper(one.at, one.actor, paper, repo.strip())
    except Refused as error:
        return one.page("paper_register.html", status=409, paper=found, repo=repo, refused=error)
    return one.go(f"/papers/{found.id}", "paper_registered")


@router.post("/papers/{paper}/reference")
def reference(one: Known, paper: str, figure: Annotated[float, Form(allow_inf_nan=False)]) -> Response:
    found = one.at.contest.find_paper(paper)
    submissions.report_reference_run(one.at, one.actor, paper, figure, None)
    return one.go(f"/papers/{found.id}")


def _submit_page(one: Visit, paper: str, *, status: int = 200, **values: Any) -> Response:
    assert one.actor is not None  # noqa: S101 - Known
    found = one.at.contest.find_paper(paper)
    team = views.my_team(one.at, one.actor)
    mine = next((line for line in team["papers"] if line["paper"] == found.id), None) if team else None
    entered = {"repo": mine["repo"] if mine else "", "commit": ""}
    shown = {"entered": entered, "refused": None, "lines": None} | values
    return one.page("submit.html", status=status, paper=found, mine=mine, **shown)


@router.get("/papers/{paper}/submit")
def to_submit(one: Known, paper: str) -> Response:
    return _submit_page(one, paper)


@router.post("/papers/{paper}/submit")
def submit(
    one: Known,
    paper: str,
    commit: Short,
    repo: Address = "",
    bundle: UploadFile | None = None,
    act: Annotated[Literal["check", "submit"], Form()] = "submit",
) -> Response:
    """Submits, or tries everything that submitting would and changes nothing."""
    entered = {"repo": repo.strip(), "commit": commit.strip().lower()}
    uploaded = bundle is not None and bool(bundle.filename)
    with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
        file = None
        if uploaded and bundle is not None:
            file = Path(place) / "upload.bundle"
            with file.open("wb") as out:
                shutil.copyfileobj(bundle.file, out)
        what: dict[str, Any] = {"commit": entered["commit"], "bundle": file}
        if file is None:
            what["repo"] = entered["repo"]
        if act == "check":
            lines = rehearsal.rehearse(one.at, one.actor, paper, **what)
            return _submit_page(one, paper, entered=entered, lines=lines)
        try:
            receipt = submissions.submit(one.at, one.actor, paper, source="web", **what)
        except Refused as error:
            return _submit_page(one, paper, status=409, entered=entered, refused=error)
    return one.go(f"/submissions/{receipt['submission']}", "submitted")


@router.get("/submissions/{id}/receipt.json")
def receipt(one: Known, id: int) -> Response:
    found = submissions.receipt_of(one.at, one.actor, id)
    return JSONResponse(found, headers={"Content-Disposition": f'attachment; filename="receipt-{id}.json"'})


@router.get("/submissions/{id}/evidence")
def evidence(one: Known, id: int) -> Response:
    """Everything that the last verification left, once the ruling is final."""
    name = submissions.evidence_of(one.at, one.actor, id)
    place = Path(tempfile.mkdtemp(prefix="fuxian-contest-"))
    file = place / "evidence.tar.gz"
    try:
        one.at.artifacts.get(name, file)
    except BaseException:
        shutil.rmtree(place)
        raise
    return FileResponse(
        file, filename=f"evidence-{id}.tar.gz", background=BackgroundTask(shutil.rmtree, place)
    )


@router.post("/submissions/{id}/withdraw")
def withdraw(one: Known, id: int) -> Response:
    submissions.withdraw(one.at, one.actor, id)
    return one.go(f"/submissions/{id}", "withdrawn")


@router.post("/submissions/{id}/dispute")
def dispute(one: Known, id: int, text: Long) -> Response:
    disputes.dispute(one.at, one.actor, id, text)
    return one.go(f"/submissions/{id}", "disputed")


@router.post("/questions")
def ask(one: Known, text: Long, paper: Short = "") -> Response:
    news.ask(one.at, one.actor, text, paper or None)
    return one.go("/questions", "asked")


@router.post("/deliverables/{paper}/{deliverable}")
def deliver(one: Known, paper: str, deliverable: str, link: Address) -> Response:
    final.deliver(one.at, one.actor, paper, deliverable, link.strip())
    return one.go("/team", "kept")
