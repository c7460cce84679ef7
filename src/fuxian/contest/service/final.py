"""Prizes, deliverables, and the final's scores."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fuxian.contest.rules.eligibility import Affiliation, Person, prize
from fuxian.contest.rules.final import Finalist, defence_order, ranking, require_score
from fuxian.contest.rules.refused import Refused
from fuxian.contest.rules.windows import Window, require_open
from fuxian.contest.service.accounts import identities_agree
from fuxian.contest.service.context import (
    Actor,
    Context,
    Role,
    denied,
    members_of,
    missing,
    note,
    require_account,
    require_organiser,
    team_of,
)
from fuxian.contest.store.models import Account, Delivery, Payment, Score, Submission, Team, Winner

_LINK = re.compile(r"https://[^\s<>\"']{1,490}")


def winners(at: Context) -> list[dict[str, Any]]:
    """Every paper's first, the prize and its state, what is handed in, and what the finalists are entitled to."""
    with at.database.read() as session:
        return [_winner(at, session, paper.id) for paper in at.contest.paper if session.get(Winner, paper.id)]


def _winner(at: Context, session: Session, paper_id: str) -> dict[str, Any]:
    won = session.get_one(Winner, paper_id)
    submission = session.get_one(Submission, won.submission_id)
    team = session.get_one(Team, submission.team_id)
    paper = at.contest.find_paper(paper_id)
    handed = {
        row.deliverable: row for row in session.scalars(select(Delivery).where(Delivery.paper == paper_id))
    }
    states = {
        row.what: row.state for row in session.scalars(select(Payment).where(Payment.paper == paper_id))
    }
    crew = session.scalars(select(Account).where(Account.id.in_(members_of(session, team.id)))).all()
    required = [site.id for site in at.contest.site if site.required]
    lacking = [
        one.id for one in at.contest.deliverable if one.id not in handed or not handed[one.id].confirmed_at
    ]
    if any(not identities_agree(account, required) for account in crew):
        lacking.append("identities")
    state = prize(
        (Person(Affiliation(row.affiliation), row.banned_at is not None, row.false_identity) for row in crew),
        lacking,
        paid=states.get("prize") == "paid",
    )
    return {
        "paper": paper_id,
        "team": team.id,
        "name": team.name,
        "submission": submission.id,
        "number": submission.number,
        "amount": at.contest.prize(paper),
        "currency": at.contest.prizes.currency,
        "pre_tax": True,
        "prize": {"state": state.state.value, "en": state.en, "zh": state.zh},
        "deliverables": [
            {
                "id": one.id,
                "due": one.due.isoformat(),
                "link": handed[one.id].link if one.id in handed else None,
                "confirmed": one.id in handed and handed[one.id].confirmed_at is not None,
                "late": one.id not in handed and at.now() > one.due,
            }
            for one in at.contest.deliverable
        ],
        "entitlements": [
            {"id": one.id, "state": states.get(one.id, "open")}
            for one in (at.contest.final.entitlement if at.contest.final else ())
        ],
    }


def deliver(at: Context, actor: Actor | None, paper: str, deliverable: str, link: str) -> None:
    """A winner hands in one of the deliverables, by its address."""
    if not _LINK.fullmatch(link):
        raise Refused("link", en="give an https:// address.", zh="请给出 https:// 地址。")
    with at.database.write() as session:
        account = require_account(session, actor)
        won = session.get(Winner, at.contest.find_paper(paper).id)
        if won is None or session.get_one(Submission, won.submission_id).team_id != team_of(
            session, account.id
        ):
            raise denied()
        if deliverable not in {one.id for one in at.contest.deliverable}:
            raise missing("deliverable", "交付物")
        session.merge(
            Delivery(
                paper=won.paper, deliverable=deliverable, link=link, at=at.now(), confirmed_at=None, note=""
            )
        )
        note(
            at,
            session,
            "deliverable.handed_in",
            {"paper": won.paper, "deliverable": deliverable, "link": link},
        )


def confirm(
    at: Context, actor: Actor | None, paper: str, deliverable: str, *, good: bool, text: str = ""
) -> None:
    """By an organiser."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Delivery, (paper, deliverable))
        if row is None:
            raise missing("deliverable", "交付物")
        row.confirmed_at, row.note = (at.now() if good else None), text[:2000]
        note(
            at,
            session,
            "deliverable.checked",
            {"paper": paper, "deliverable": deliverable, "good": good, "by": acting.account},
        )


def mark(at: Context, actor: Actor | None, paper: str, what: str, state: str, text: str = "") -> None:
    """By an organiser: a prize paid, or the state of an entitlement."""
    acting = require_organiser(actor)
    known = {"prize", *(one.id for one in (at.contest.final.entitlement if at.contest.final else ()))}
    if what not in known or state not in ("open", "promised", "paid", "declined"):
        raise missing("prize or entitlement, or state", "奖项、权益或状态")
    with at.database.write() as session:
        if session.get(Winner, paper) is None:
            raise missing("winner", "获胜队伍")
        if (
            what == "prize"
            and state == "paid"
            and _winner(at, session, paper)["prize"]["state"]
            not in (
                "ready",
                "paid",
            )
        ):
            raise Refused(
                "not_ready",
                en="this prize is not ready to be paid; see its state.",
                zh="奖金尚不可发放，请查看状态。",
            )
        session.merge(Payment(paper=paper, what=what, state=state, note=text[:2000], at=at.now()))
        note(
            at, session, "prize.marked", {"paper": paper, "what": what, "state": state, "by": acting.account}
        )


def score(at: Context, actor: Actor | None, paper: str, criterion: str, value: float) -> None:
    """By a judge, of one finalist."""
    if actor is None or actor.role < Role.judge or at.contest.final is None:
        raise denied()
    require_open(at.contest, Window.final, at.now())
    require_score(at.contest.final.rubric, criterion, value)
    with at.database.write() as session:
        account = require_account(session, actor)
        won = session.get(Winner, paper)
        if won is None:
            raise missing("finalist", "入围队伍")
        if session.get_one(Submission, won.submission_id).team_id == team_of(session, account.id):
            raise denied()
        session.merge(Score(paper=paper, judge_id=account.id, criterion=criterion, score=value, at=at.now()))
        note(
            at,
            session,
            "final.scored",
            {"paper": paper, "criterion": criterion, "judge": account.id},
            {"score": value},
        )


def scores_of(at: Context, actor: Actor | None) -> dict[str, dict[str, float]]:
    """A judge's own scores, by paper and criterion."""
    if actor is None or actor.role < Role.judge:
        raise denied()
    found: dict[str, dict[str, float]] = {}
    with at.database.read() as session:
        for row in session.scalars(select(Score).where(Score.judge_id == actor.account)):
            found.setdefault(row.paper, {})[row.criterion] = row.score
    return found


def results(at: Context) -> dict[str, Any]:
    """The order of defence and the ranking as the scores are now."""
    if at.contest.final is None:
        raise missing("final", "总决赛")
    with at.database.read() as session:
        finalists = [
            Finalist(submission.team_id, won.paper, submission.number or 0)
            for won, submission in session.execute(
                select(Winner, Submission).join(Submission, Submission.id == Winner.submission_id)
            )
        ]
        scores: dict[tuple[str, int], dict[str, float]] = {}
        for row in session.scalars(select(Score)):
            scores.setdefault((row.paper, row.judge_id), {})[row.criterion] = row.score
        names = {one.team: session.get_one(Team, one.team).name for one in finalists}
    # The contest's own key is as secret as can be, and the order is the same whenever it is asked for.
    secret = hashlib.sha256(at.signer.key.private_bytes_raw() + b"defence order").digest()
    return {
        "defence_secret_hash": hashlib.sha256(secret).hexdigest(),
        "order": [
            {"team": one.team, "name": names[one.team], "paper": one.paper}
            for one in defence_order(finalists, secret)
        ],
        "ranking": [
            {
                "place": one.place,
                "team": one.finalist.team,
                "name": names[one.finalist.team],
                "paper": one.finalist.paper,
                "total": one.total,
                "judges": one.judges,
            }
            for one in ranking(finalists, at.contest.final.rubric, scores)
        ],
    }
