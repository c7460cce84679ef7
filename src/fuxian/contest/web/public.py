"""Pages that everybody may read."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Query
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.routing import APIRouter

from fuxian.contest.audit import audit_for_everyone
from fuxian.contest.board import thread, views
from fuxian.contest.rules.windows import Window, is_open
from fuxian.contest.service import disputes, final, news
from fuxian.contest.web import feeds
from fuxian.contest.web.boards import BoardQuery, chosen
from fuxian.contest.web.routes import router as pages
from fuxian.contest.web.visit import LANGUAGE, YEAR, Anyone, Visit, inside

router: APIRouter = pages()
Small = Annotated[str, Query(max_length=100)]
Id = Annotated[int, Query(ge=0, le=2**31 - 1)]
MOMENTS = ("opens", "teams_freeze", "registration_closes", "submission_closes", "results", "final")


def moments(one: Visit) -> list[dict[str, Any]]:
    """The schedule's moments in order, each with whether it is past."""
    now = one.at.now()
    found = [(name, getattr(one.at.contest.schedule, name)) for name in MOMENTS]
    return [
        {"name": name, "at": moment, "past": moment <= now} for name, moment in found if moment is not None
    ]


@router.get("/")
def home(one: Anyone) -> Response:
    all_moments = moments(one)
    following = next((moment for moment in all_moments if not moment["past"]), None)
    left = None if following is None else (following["at"] - one.at.now()).total_seconds()
    return one.page(
        "home.html",
        board=views.board(one.at),
        following=following,
        left=left,
        steps=views.steps(one.at, one.actor),
        news=news.announcements(one.at, limit=3),
        changes=views.changes(one.at, limit=6),
    )


@router.get("/rules")
def rules(one: Anyone) -> Response:
    return one.page("rules.html")


@router.get("/schedule")
def schedule(one: Anyone) -> Response:
    now = one.at.now()
    windows = [(window.value, is_open(one.at.contest, window, now)) for window in Window]
    return one.page("schedule.html", moments=moments(one), windows=windows)


@router.get("/courses")
def courses(one: Anyone) -> Response:
    by_field: dict[str, list[Any]] = {}
    for course in one.at.contest.course:
        by_field.setdefault(one.t(course.field.zh, course.field.en), []).append(course)
    return one.page("courses.html", by_field=by_field)


@router.get("/papers")
def papers(one: Anyone) -> Response:
    return one.page("papers.html", board=views.board(one.at))


@router.get("/papers/{paper}")
def paper(one: Anyone, paper: str) -> Response:
    found = views.paper(one.at, paper)
    mine = None
    if one.actor is not None and one.profile and one.profile["team"]:
        team = views.my_team(one.at, one.actor)
        mine = next((line for line in team["papers"] if line["paper"] == found["id"]), None) if team else None
    return one.page(
        "paper.html",
        paper=found,
        mine=mine,
        race=feeds.race(one, found["recent"]),
        open=is_open(one.at.contest, Window.registration, one.at.now()),
    )


def board_of(one: Visit, query: BoardQuery) -> dict[str, Any]:
    """The board as the address asks for it."""
    day = None
    if query.day is not None:
        # The whole day counts: as it stood at its last moment.
        day = datetime.combine(query.day + timedelta(days=1), time_of_day(), one.at.contest.zone)
    found = views.board(one.at, day=day)
    found["papers"] = chosen(found["papers"], query)
    return found


@router.get("/board")
def board(one: Anyone, query: Annotated[BoardQuery, Query()]) -> Response:
    found = board_of(one, query)
    opens = one.at.contest.schedule.opens.astimezone(one.at.contest.zone).date()
    today = one.at.now().astimezone(one.at.contest.zone).date()
    shown = query.day or today
    return one.page(
        "board.html",
        board=found,
        query=query,
        opens=opens,
        today=today,
        before=_with_day(query, shown - timedelta(days=1)) if shown > opens else None,
        after=_with_day(query, shown + timedelta(days=1)) if shown < today else None,
        chart=feeds.board_chart(one, found["papers"]),
        feed=query.address(""),
    )


def _with_day(query: BoardQuery, day: date) -> str:
    return query.model_copy(update={"day": day}).address("/board")


@router.get("/board.json")
def board_json(one: Anyone, query: Annotated[BoardQuery, Query()]) -> Response:
    return JSONResponse(board_of(one, query))


@router.get("/board.csv")
def board_csv(one: Anyone, query: Annotated[BoardQuery, Query()]) -> Response:
    return feeds.csv(board_of(one, query)["papers"], "board.csv")


@router.get("/board.atom")
def board_atom(one: Anyone) -> Response:
    return feeds.changes(one)


@router.get("/board.md")
def board_thread(one: Anyone) -> Response:
    """The old thread's table."""
    return PlainTextResponse(thread.table(one.at))


@router.get("/submissions")
def submissions(
    one: Anyone,
    paper: Small = "",
    status: Small = "",
    team: Id = 0,
    late: bool = False,
    order: Literal["newest", "oldest"] = "newest",
    after: Id = 0,
) -> Response:
    found = views.submissions(
        one.at,
        paper=paper or None,
        status=[status] if status else (),
        team=team or None,
        late=late,
        newest_first=order == "newest",
        after=after,
    )
    asked = {
        "paper": paper,
        "status": status,
        "team": team or "",
        "late": "true" if late else "",
        "order": order,
    }
    query = {name: value for name, value in asked.items() if value}
    more = None if found["next"] is None else "/submissions?" + urlencode({**query, "after": found["next"]})
    return one.page("submissions.html", rows=found["items"], asked=asked, more=more, first=not after)


@router.get("/submissions/{id}")
def submission(one: Anyone, id: int) -> Response:
    return one.page("submission.html", **_submission(one, id))


@router.get("/submissions/{id}/live")
def live(one: Anyone, id: int, seen: Small = "") -> Response:
    """The part of a submission's page that changes while it is verified; nothing where the reader has seen it."""
    values = _submission(one, id)
    if seen == values["mark"]:
        return Response(status_code=204)
    return one.page("submission_live.html", **values)


def _submission(one: Visit, id: int) -> dict[str, Any]:
    found = views.submission(one.at, one.actor, id)
    mine = found.get("mine", {})
    moving = [
        found["status"],
        found["late"],
        len(found["timeline"]),
        mine.get("doing"),
        mine.get("queue_place"),
    ]
    return {
        "found": found,
        "mark": hashlib.sha256(repr(moving).encode()).hexdigest()[:16],
        "undecided": found["status"] in (*views.UNDECIDED, "incomplete"),
        "disputes": disputes.of_submission(one.at, one.actor, id),
        "own": one.profile is not None and one.profile["team"] == found["team"],
        "can_dispute": disputes.can_dispute(one.at, one.actor, id),
    }


@router.get("/teams")
def teams(one: Anyone, search: Small = "", after: Id = 0) -> Response:
    found = views.teams(one.at, search=search, after=after)
    more = None
    if found["next"] is not None:
        more = "/teams?" + urlencode({"search": search, "after": found["next"]})
    return one.page("teams.html", rows=found["items"], search=search, more=more)


@router.get("/teams/{id}")
def team(one: Anyone, id: int) -> Response:
    tries = views.submissions(one.at, team=id)["items"]
    return one.page("team_public.html", team=views.team(one.at, id), rows=tries)


@router.get("/announcements")
def announcements(one: Anyone) -> Response:
    return one.page("announcements.html", rows=news.announcements(one.at))


@router.get("/announcements.atom")
def announcements_atom(one: Anyone) -> Response:
    return feeds.announcements(one)


@router.get("/announcements/{id}")
def announcement(one: Anyone, id: int) -> Response:
    return one.page("announcement.html", row=news.announcement(one.at, id))


@router.get("/questions")
def questions(one: Anyone) -> Response:
    return one.page("questions.html", rows=news.questions(one.at, one.actor))


@router.get("/final")
def finals(one: Anyone) -> Response:
    results = final.results(one.at) if one.at.contest.final is not None else None
    return one.page("final.html", winners=final.winners(one.at), results=results)


@router.get("/audit")
def audit(one: Anyone, after: Id = 0, check: bool = False) -> Response:
    """The public log, and on request the winners recomputed from it."""
    events = views.public_log(one.at, after=after, limit=50)
    done = audit_for_everyone(one.at.contest, one.at.database).as_dict() if check else None
    return one.page("audit.html", events=events, after=after, done=done)


@router.get("/language/{language}")
def language(one: Anyone, language: Literal["zh", "en"], next: Small = "/") -> Response:
    answer = RedirectResponse(inside(next), status_code=303)
    one.keep(answer, LANGUAGE, language, YEAR)
    return answer
