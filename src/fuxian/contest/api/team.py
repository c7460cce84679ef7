"""What teams do: found, join, register, submit, dispute, deliver."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from fuxian.contest.api.caller import At, Known
from fuxian.contest.api.public import Body, Id, Small
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import disputes, final, news, submissions, teams
from fuxian.contest.service.submissions import LARGEST_BUNDLE

router = APIRouter()
Figure = Annotated[float, Field(allow_inf_nan=False)]


class Name(Body):
    name: Small


class Secret(Body):
    secret: Small


class Account(Body):
    account: Id


class Team(Body):
    team: Id


class Registered(Body):
    paper: Small
    repo: Annotated[str, Field(max_length=500)] = ""


class ReferenceRun(Body):
    figure: Figure
    examples: Annotated[tuple[Figure, ...], Field(max_length=1_000_000)] | None = None


class Head(Body):
    step: Annotated[int, Field(ge=0, le=2**31 - 1)]
    head: Small


class Submitted(Body):
    paper: Small
    repo: Annotated[str, Field(max_length=500)]
    commit: Small


class Text(Body):
    text: Annotated[str, Field(max_length=10_000)]


class Asked(Text):
    paper: Small | None = None


class Link(Body):
    link: Annotated[str, Field(max_length=500)]


@router.post("/teams", status_code=201)
def found(at: At, actor: Known, body: Name) -> dict[str, int]:
    return {"team": teams.found(at, actor, body.name)}


@router.post("/team/invites", status_code=201)
def invite(at: At, actor: Known) -> dict[str, str]:
    """A link's secret for one person."""
    return {"secret": teams.invite(at, actor)}


@router.delete("/team/invites", status_code=204)
def withdraw_invites(at: At, actor: Known) -> Response:
    teams.withdraw_invites(at, actor)
    return Response(status_code=204)


@router.post("/team/join")
def join(at: At, actor: Known, body: Secret) -> dict[str, int]:
    return {"team": teams.join(at, actor, body.secret)}


@router.post("/team/leave")
def leave(at: At, actor: Known) -> dict[str, str]:
    teams.leave(at, actor)
    return {"said": "left"}


@router.delete("/team/members/{account}", status_code=204)
def remove(at: At, actor: Known, account: Id) -> Response:
    teams.remove(at, actor, account)
    return Response(status_code=204)


@router.put("/team/captain")
def hand_over(at: At, actor: Known, body: Account) -> dict[str, str]:
    teams.hand_over(at, actor, body.account)
    return {"said": "handed over"}


@router.delete("/team", status_code=204)
def dissolve(at: At, actor: Known) -> Response:
    teams.dissolve(at, actor)
    return Response(status_code=204)


@router.post("/team/merges", status_code=201)
def offer_merge(at: At, actor: Known, body: Team) -> dict[str, int]:
    """Offers another team to come in."""
    return {"offer": teams.offer_merge(at, actor, body.team)}


@router.post("/team/merges/{offer}")
def accept_merge(at: At, actor: Known, offer: Id) -> dict[str, int]:
    return {"team": teams.accept_merge(at, actor, offer)}


@router.post("/registrations", status_code=201)
def register(at: At, actor: Known, body: Registered) -> dict[str, Any]:
    """Registers the team for a paper; ``seed`` is its training's, null where the claim's own seeds rule."""
    made = submissions.register_paper(at, actor, body.paper, body.repo)
    seed = made.seed if at.contest.find_paper(made.paper).issued_seed else None
    return {"team": made.team_id, "paper": made.paper, "repo": made.repo, "seed": seed}


@router.post("/registrations/{paper}/reference")
def reference(at: At, actor: Known, paper: Small, body: ReferenceRun) -> dict[str, Any]:
    """What the reference gave."""
    holds, en, zh = submissions.report_reference_run(at, actor, paper, body.figure, body.examples)
    return {"holds": holds, "en": en, "zh": zh}


@router.post("/registrations/{paper}/chain", status_code=201)
def chain(at: At, actor: Known, paper: Small, body: Head) -> dict[str, str]:
    """A head of a training's hash chain."""
    submissions.post_chain_head(at, actor, paper, body.step, body.head)
    return {"said": "kept"}


@router.post("/submissions", status_code=201)
def submit(at: At, actor: Known, body: Submitted) -> dict[str, Any]:
    """A repository at a commit. The answer is the signed receipt."""
    return submissions.submit(at, actor, body.paper, repo=body.repo, commit=body.commit)


@router.post(
    "/submissions/bundle",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def submit_bundle(
    at: At,
    actor: Known,
    request: Request,
    paper: Annotated[str, Query(max_length=300)],
    commit: Annotated[str, Query(max_length=300)],
) -> dict[str, Any]:
    """A git bundle of the commit, as the body. The answer is the signed receipt."""
    with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
        file = Path(place) / "upload.bundle"
        size = 0
        with file.open("wb") as out:
            async for part in request.stream():
                size += len(part)
                if size > LARGEST_BUNDLE:
                    raise Refused(
                        "too_large",
                        en="a bundle has at most 1 GiB; make it smaller.",
                        zh="bundle 至多 1 GiB，请精简。",
                    )
                out.write(part)
        return await run_in_threadpool(submissions.submit, at, actor, paper, commit=commit, bundle=file)


@router.get("/submissions/{id}/receipt")
def receipt(at: At, actor: Known, id: Id) -> dict[str, Any]:
    return submissions.receipt_of(at, actor, id)


@router.get("/submissions/{id}/evidence", response_class=FileResponse)
def evidence(at: At, actor: Known, id: Id) -> FileResponse:
    """Everything that the last verification left, once the ruling is final."""
    name = submissions.evidence_of(at, actor, id)
    place = Path(tempfile.mkdtemp(prefix="fuxian-contest-"))
    file = place / "evidence.tar.gz"
    at.artifacts.get(name, file)

    def clean() -> None:
        file.unlink()
        place.rmdir()

    return FileResponse(file, filename=f"evidence-{id}.tar.gz", background=BackgroundTask(clean))


@router.delete("/submissions/{id}", status_code=204)
def withdraw(at: At, actor: Known, id: Id) -> Response:
    submissions.withdraw(at, actor, id)
    return Response(status_code=204)


@router.post("/submissions/{id}/disputes", status_code=201)
def dispute(at: At, actor: Known, id: Id, body: Text) -> dict[str, int]:
    """A challenge of another team's ruling, or an appeal against one's own."""
    return {"dispute": disputes.dispute(at, actor, id, body.text)}


@router.post("/questions", status_code=201)
def ask(at: At, actor: Known, body: Asked) -> dict[str, int]:
    return {"question": news.ask(at, actor, body.text, body.paper)}


@router.put("/deliverables/{paper}/{deliverable}")
def deliver(at: At, actor: Known, paper: Small, deliverable: Small, body: Link) -> dict[str, str]:
    final.deliver(at, actor, paper, deliverable, body.link)
    return {"said": "kept"}


@router.put("/scores/{paper}/{criterion}")
def score(
    at: At, actor: Known, paper: Small, criterion: Small, score: Annotated[float, Query(allow_inf_nan=False)]
) -> dict[str, str]:
    """A judge's score of one finalist."""
    final.score(at, actor, paper, criterion, score)
    return {"said": "kept"}
