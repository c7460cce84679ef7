"""The final, for its judges."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form
from fastapi.responses import Response

from fuxian.contest.service import final
from fuxian.contest.service.context import missing
from fuxian.contest.web.routes import router as pages
from fuxian.contest.web.visit import Judge

router = pages()


@router.get("/judging")
def judging(one: Judge) -> Response:
    """The rubric for each finalist, with the judge's own scores."""
    if one.at.contest.final is None:
        raise missing("final", "总决赛")
    return one.page("judging.html", results=final.results(one.at), scores=final.scores_of(one.at, one.actor))


@router.post("/judging/{paper}")
def score(
    one: Judge,
    paper: str,
    criterion: Annotated[str, Form(max_length=60)],
    score: Annotated[float, Form(allow_inf_nan=False)],
) -> Response:
    final.score(one.at, one.actor, paper, criterion, score)
    return one.go("/judging", "kept")
