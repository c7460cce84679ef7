"""A finished race, so that every page can be seen at once. Teams, repositories and rulings are invented."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from fuxian.contest import jobs
from fuxian.contest.evaluation import Result, packed
from fuxian.contest.service import accounts, disputes, duplicates, final, news, rulings, submissions, teams
from fuxian.contest.service.context import Actor, Context, Role
from fuxian.contest.store.models import Account, Sighting, Team
from fuxian.errors import InputError

PASSWORD = "demo-password"  # noqa: S105 - printed in the documentation
NAMES = ("少样本 Few Shots", "Gradient Descendants", "内循环 Inner Loop", "炼丹小队", "Second Order")
PAPER = "maml"
OTHERS = ("arcface", "psenet", "sparse-rcnn", "dmr", "portraitnet")
SENTENCES = {
    "accepted": ("OK", "the gain's lower bound lies above -margin"),
    "rejected": ("METRIC_SHORT", "the gain's upper bound lies below -margin"),
    "inconclusive": ("UNDECIDED", "the gain's bounds enclose -margin"),
}
STEPS = (
    ("check", "pass", "every line of the checklist holds"),
    ("origin", "pass", "the weights are no known ones"),
    ("control", "pass", "shuffled weights give 0.20, chance"),
    ("replay", "pass", "10 of 10 logged steps are replayed"),
    ("chain", "not_applicable", "no exported network is named"),
)


@dataclass
class _Story:
    """The context in which the story happens, and its clock."""

    at: Context
    moment: datetime

    def later(self, **span: float) -> None:
        self.moment += timedelta(**span)


def fill(at: Context) -> None:
    """Fills an empty contest. Raises InputError where it is not empty."""
    with at.database.read() as session:
        if session.scalar(select(Team.id).limit(1)) is not None:
            raise InputError(f"{at.folder} is not empty; the demonstration needs a new contest.")
    # The story is told in the contest's own days, without the network.
    sources = at.contest.sources.model_copy(update={"uploads": True, "readme": False})
    contest = at.contest.model_copy(update={"sources": sources})
    story = _Story(at, at.contest.schedule.opens + timedelta(hours=1))
    story.at = replace(at, contest=contest, clock=lambda: story.moment, imported=True)
    organiser = _organiser(story.at)
    captains = [_team(story, number, name) for number, name in enumerate(NAMES, 1)]
    _news(story, organiser, captains)
    ids = _race(story, organiser, captains)
    _afterwards(story, organiser, captains, ids)
    if contest.final is not None and contest.schedule.final is not None:
        _final(story, organiser, captains[2], contest.schedule.final)


def _organiser(then: Context) -> Actor:
    email = "organiser@demo.example"
    with then.database.read() as session:
        known = session.scalar(select(Account.id).where(Account.email == email))
    return Actor(known or accounts.make_organiser(then, email, "Organiser", PASSWORD), Role.organiser)


def _team(story: _Story, number: int, name: str) -> Actor:
    then = story.at
    people = []
    with then.database.write() as session:
        for place in range(1 + number % 3):
            account = accounts.imported_account(
                then, session, f"team{number}-{place}@demo.example", f"{name} {place + 1}"
            )
            account.password = accounts.hashed(PASSWORD)
            # Two captains who share a device, for the organisers to look at.
            if place == 0 and number in (4, 5):
                session.add(Sighting(account_id=account.id, kind="device", value="demo", at=then.now()))
            people.append(Actor(account.id, Role.entrant))
    captain, *others = people
    teams.found(then, captain, name)
    for other in others:
        teams.join(then, other, teams.invite(then, captain))
    for actor in people:
        for site in then.contest.site:
            accounts.link_identity(then, actor, site.id, f"{name} {people.index(actor) + 1}")
    repo = f"https://github.com/demo-team-{number}/{{}}-paddle"
    known = {paper.id for paper in then.contest.paper if paper.public}
    for paper in (PAPER, OTHERS[number - 1]):
        if paper in known:
            story.later(hours=number)
            submissions.register_paper(then, captain, paper, repo.format(paper))
    if number < 4:
        submissions.report_reference_run(then, captain, PAPER, 0.986 + number / 1000, None)
    return captain


def _news(story: _Story, organiser: Actor, captains: list[Actor]) -> None:
    then = story.at
    news.announce(
        then,
        organiser,
        zh=("比赛开始", "欢迎参加，祝复现顺利。\n报名请先阅读规则。"),
        en=("The contest has begun", "Welcome, and good luck.\nRead the rules before you register."),
        paper=None,
    )
    news.ask(then, captains[1], "Are the queries of the drawn test balanced over classes?", PAPER)
    news.answer(then, organiser, 1, "Yes: as in the paper, one query a class and shot.", public=True)
    news.ask(then, captains[3], "可以使用两张 V100 吗？", None)
    story.later(hours=3)
    news.announce(
        then,
        organiser,
        zh=("关于 MAML 的测试集", "测试样本在提交固定之后抽取，类别与论文一致。"),
        en=("On the test of MAML", "It is drawn after the commit is fixed, from the paper's own classes."),
        paper=PAPER,
    )
    for number, captain in enumerate(captains[:3], 1):
        with then.database.read() as session:
            team = submissions.team_of(session, captain.account)
        assert team is not None  # noqa: S101 - it was founded above
        submissions.grant(then, organiser, team, 12.0 * number, "the reference run holds")


def _race(story: _Story, organiser: Actor, captains: list[Actor]) -> list[int]:
    """One that falls short, one that a person decides, the winner, and one that comes too late."""
    then = story.at
    story.later(days=1, hours=2)
    ids = [_submit(story, captains[0])]
    _rule(story, "rejected")
    story.later(days=1)
    ids.append(_submit(story, captains[1]))
    for _ in range(then.contest.limits.looks_per_attempt):
        _rule(story, "inconclusive")
    story.later(hours=6)
    ids.append(_submit(story, captains[2]))
    _rule(story, "accepted")
    story.later(hours=4)
    ids.append(_submit(story, captains[3]))
    story.later(hours=3)
    rulings.decide(
        then, organiser, ids[1], "rejected", "Both looks lie below the target; the margin is not shown."
    )
    return ids


def _afterwards(story: _Story, organiser: Actor, captains: list[Actor], ids: list[int]) -> None:
    """A challenge that waits, an appeal that was heard, and the rejudge that it led to."""
    then = story.at
    story.later(hours=20)
    disputes.dispute(then, captains[0], ids[2], "Their README names our repository; please look again.")
    appeal = disputes.dispute(then, captains[1], ids[1], "On a third draw we are above the target.")
    story.later(hours=5)
    disputes.answer_dispute(then, organiser, appeal, holds=True, reasons="A third look is fair here.")
    _rule(story, "accepted")
    duplicates.suspect(then, organiser)


def _final(story: _Story, organiser: Actor, winner: Actor, day: datetime) -> None:
    then = story.at
    story.moment = then.contest.schedule.submission_closes + timedelta(days=3)
    for one in then.contest.deliverable[:3]:
        final.deliver(then, winner, PAPER, one.id, f"https://example.org/inner-loop/{one.id}")
    for one in then.contest.deliverable[:2]:
        final.confirm(then, organiser, PAPER, one.id, good=True)
    assert then.contest.final is not None  # noqa: S101 - asked by the caller
    for entitlement in then.contest.final.entitlement[:2]:
        final.mark(then, organiser, PAPER, entitlement.id, "promised")
    story.moment = day + timedelta(hours=2)
    for number in (1, 2):
        with then.database.write() as session:
            account = accounts.imported_account(
                then, session, f"judge{number}@demo.example", f"Judge {number}"
            )
            account.password, account.role = accounts.hashed(PASSWORD), "judge"
            judge = Actor(account.id, Role.judge)
        for place, criterion in enumerate(then.contest.final.rubric):
            final.score(
                then, judge, PAPER, criterion.id, criterion.most * (0.78 + 0.05 * place + 0.02 * number)
            )


def _rule(story: _Story, verdict: str) -> None:
    """Ends the next look, and leaves evidence of it."""
    then = story.at
    story.later(hours=5)
    held = jobs.claim(then.database, "demo", then.now())
    if held is None:
        return
    reason, sentence = SENTENCES[verdict]
    report = {
        "verdict": verdict,
        "reason": reason,
        "detail": sentence,
        "checks": [{"name": name, "status": status, "detail": detail} for name, status, detail in STEPS],
    }
    with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
        folder = Path(place) / "evidence"
        folder.mkdir()
        (folder / "README.txt").write_text("Invented, for the demonstration.\n", encoding="utf-8")
        evidence = f"evidence/{held.submission}/{held.job}-{held.token}.tar.gz"
        then.artifacts.put(evidence, packed(folder))
    rulings.finish(then, held, Result(verdict, reason, sentence, report=report), "demo", evidence)


def _submit(story: _Story, captain: Actor) -> int:
    then = story.at
    with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
        file = Path(place) / "demo.bundle"
        file.write_bytes(b"# v2 git bundle\n" + str(then.now()).encode())
        commit = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
        receipt = submissions.submit(then, captain, PAPER, commit=commit, bundle=file)
    return int(receipt["submission"])
