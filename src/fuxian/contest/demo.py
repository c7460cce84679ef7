"""A finished race, so that every page can be seen at once. Teams, repositories and rulings are invented."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from fuxian.contest import jobs
from fuxian.contest.evaluation import Result
from fuxian.contest.service import accounts, disputes, news, rulings, submissions, teams
from fuxian.contest.service.context import Actor, Context, Role
from fuxian.contest.store.models import Account, Submission, Team
from fuxian.errors import InputError

PASSWORD = "demo-password"  # noqa: S105 - printed in the documentation
NAMES = ("少样本 Few Shots", "Gradient Descendants", "内循环 Inner Loop", "炼丹小队", "Second Order")
SENTENCES = {
    "accepted": ("OK", "the gain's lower bound lies above -margin"),
    "rejected": ("METRIC_SHORT", "the gain's upper bound lies below -margin"),
    "inconclusive": ("UNDECIDED", "the gain's bounds enclose -margin"),
}


def fill(at: Context) -> None:
    """Fills an empty contest. Raises InputError where it is not empty."""
    with at.database.read() as session:
        if session.scalar(select(Team.id).limit(1)) is not None:
            raise InputError(f"{at.folder} is not empty; the demonstration needs a new contest.")
        organiser_known = session.scalar(select(Account.id).where(Account.email == "organiser@demo.example"))
    moment = [at.contest.schedule.opens + timedelta(hours=1)]
    # The story is told in the contest's own days, without the network.
    sources = at.contest.sources.model_copy(update={"uploads": True, "readme": False})
    limits = at.contest.limits.model_copy(update={"attempts_per_day": 10})
    contest = at.contest.model_copy(update={"sources": sources, "limits": limits})
    then = replace(at, contest=contest, clock=lambda: moment[0], imported=True)
    if organiser_known is None:
        accounts.make_organiser(then, "organiser@demo.example", "Organiser", PASSWORD)
    with at.database.read() as session:
        organiser = Actor(
            session.scalars(select(Account.id).where(Account.email == "organiser@demo.example")).one(),
            Role.organiser,
        )
    captains = [_team(then, number, name) for number, name in enumerate(NAMES, 1)]
    news.announce(
        then,
        organiser,
        zh=("比赛开始", "欢迎参加，祝复现顺利。"),
        en=("The contest has begun", "Welcome, and good luck."),
        paper=None,
    )
    news.ask(then, captains[1], "Are the queries of the drawn test balanced over classes?", "maml")
    news.answer(then, organiser, 1, "Yes: as in the paper, one query a class and shot.", public=True)
    ids = []
    for captain, verdicts in (
        (0, ["rejected"]), (1, ["inconclusive", "rejected"]), (2, ["accepted"]), (3, [])
    ):  # fmt: skip
        moment[0] += timedelta(days=1, hours=3)
        ids.append(_submit(then, captains[captain]))
        for verdict in verdicts:
            moment[0] += timedelta(hours=5)
            held = jobs.claim(at.database, "demo", moment[0])
            if held is not None:
                reason, sentence = SENTENCES[verdict]
                report = {"verdict": verdict, "reason": reason, "checks": []}
                rulings.finish(then, held, Result(verdict, reason, sentence, report=report), "demo", None)
        if captain == 2:
            break
    moment[0] += timedelta(days=1)
    disputes.dispute(then, captains[0], ids[-1], "Their README names our repository; please look again.")


def _team(then: Context, number: int, name: str) -> Actor:
    with then.database.write() as session:
        people = []
        for place in range(1 + number % 3):
            account = accounts.imported_account(
                then, session, f"team{number}-{place}@demo.example", f"{name} {place + 1}"
            )
            account.password = accounts.hashed(PASSWORD)
            people.append(account.id)
    captain, *others = (Actor(person, Role.entrant) for person in people)
    teams.found(then, captain, name)
    for other in others:
        teams.join(then, other, teams.invite(then, captain))
    submissions.register_paper(then, captain, "maml", f"https://github.com/demo-team-{number}/maml-paddle")
    return captain


def _submit(then: Context, captain: Actor) -> int:
    with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
        file = Path(place) / "demo.bundle"
        file.write_bytes(b"# v2 git bundle\n" + str(then.now()).encode())
        commit = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
        receipt = submissions.submit(then, captain, "maml", commit=commit, bundle=file)
    with then.database.read() as session:
        return session.get_one(Submission, receipt["submission"]).id
