"""Anybody does anything at any time, on both databases; what must never be, never is."""

from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest
from arena import CONTEST, OPENS, Arena
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from fuxian.contest import jobs
from fuxian.contest.audit import audit_database
from fuxian.contest.evaluation import Result
from fuxian.contest.rules.race import Entry, Ruling, standings
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import disputes, rulings, submissions, teams
from fuxian.contest.service.context import Role
from fuxian.contest.store.models import Job, Judgement, Membership, Rejudge, Submission, Team, Winner

PICK = st.integers(0, 20)
VERDICTS = st.sampled_from(["accepted", "rejected", "inconclusive"])
PAPERS = st.sampled_from(["maml", "psenet"])


class Life(RuleBasedStateMachine):
    """A contest in which every refusal is right and every state is sound."""

    url = ""
    empty = staticmethod(lambda: None)

    def __init__(self):
        super().__init__()
        type(self).empty()
        self.arena = Arena(self.url, Path(mkdtemp(prefix="fuxian-life-")))
        self.organiser = self.arena.person(Role.organiser)
        self.people = [self.arena.person() for _ in range(6)]
        self.held = []
        self.declared = {}

    def teardown(self):
        self.arena.database.close()

    def may(self, action, closes=None):
        """The action's result, None where the rules refuse; nothing happens outside its window."""
        try:
            made = action()
        except Refused:
            return None
        if closes is not None:
            assert OPENS <= self.arena.time < closes
        return made

    def someone(self, pick):
        return self.people[pick % len(self.people)]

    def some(self, model, pick):
        with self.arena.database.read() as session:
            ids = session.scalars(select(model.id).order_by(model.id)).all()
        return ids[pick % len(ids)] if ids else None

    @rule(hours=st.sampled_from([0.2, 30, 24 * 20]))
    def time_passes(self, hours):
        self.arena.time += timedelta(hours=hours)

    @rule(minutes=st.integers(1, 600))
    def the_clock_jumps_back(self, minutes):
        self.arena.time = max(OPENS, self.arena.time - timedelta(minutes=minutes))

    @rule(pick=PICK, paper=PAPERS)
    def begin(self, pick, paper):
        person, at = self.someone(pick), self.arena.at
        closes = CONTEST.schedule.registration_closes
        self.may(lambda: teams.found(at, person, f"t{next(self.arena.serial)}"), closes)
        self.may(lambda: submissions.register_paper(at, person, paper, ""), closes)

    @rule(pick=PICK, other=PICK)
    def invite(self, pick, other):
        at, closes = self.arena.at, CONTEST.schedule.registration_closes
        secret = self.may(lambda: teams.invite(at, self.someone(pick)), closes)
        if secret and self.may(lambda: teams.join(at, self.someone(other), secret), closes):
            # The link is used up.
            assert self.may(lambda: teams.join(at, self.arena.person(), secret)) is None

    @rule(pick=PICK, other=PICK)
    def merge(self, pick, other):
        at, closes = self.arena.at, CONTEST.schedule.teams_freeze
        wanted = self.some(Team, other)
        offer = wanted and self.may(lambda: teams.offer_merge(at, self.someone(pick), wanted), closes)
        if offer:
            with self.arena.database.read() as session:
                captain = session.get(Team, wanted).captain_id
            actor = next((one for one in self.people if one.account == captain), None)
            if actor:
                self.may(lambda: teams.accept_merge(at, actor, offer), closes)

    @rule(pick=PICK)
    def leave(self, pick):
        self.may(lambda: teams.leave(self.arena.at, self.someone(pick)), CONTEST.schedule.teams_freeze)

    @rule(pick=PICK, paper=PAPERS)
    def submit(self, pick, paper):
        self.may(lambda: self.arena.submit(self.someone(pick), paper), CONTEST.schedule.submission_closes)

    @rule(pick=PICK, which=PICK)
    def withdraw(self, pick, which):
        id = self.some(Submission, which)
        if id:
            self.may(lambda: submissions.withdraw(self.arena.at, self.someone(pick), id))

    @rule()
    def claim(self):
        held = self.arena.claim()
        if held:
            self.held.append(held)

    @rule(which=PICK, verdict=VERDICTS)
    def finish(self, which, verdict):
        """Any holder that ever was reports, late ones too."""
        if self.held:
            held = self.held[which % len(self.held)]
            rulings.finish(self.arena.at, held, Result(verdict, "OK", verdict), "w", None)

    @rule(which=PICK)
    def fail(self, which):
        if self.held:
            rulings.platform_failed(self.arena.at, self.held[which % len(self.held)], "no disk")

    @rule(which=PICK, ruling=st.sampled_from(["accepted", "rejected"]))
    def decide(self, which, ruling):
        id = self.some(Submission, which)
        if id:
            self.may(lambda: rulings.decide(self.arena.at, self.organiser, id, ruling, "looked at it"))

    @rule(which=PICK)
    def open_rejudge(self, which):
        id = self.some(Submission, which)
        if id:
            self.may(lambda: disputes.open_rejudge(self.arena.at, self.organiser, [id], "again"))

    @rule(which=PICK, apply=st.booleans())
    def end_rejudge(self, which, apply):
        id = self.some(Rejudge, which)
        if id:
            action = disputes.apply_rejudge if apply else disputes.cancel_rejudge
            self.may(lambda: action(self.arena.at, self.organiser, id))

    @rule(which=PICK, lift=st.booleans())
    def disqualify(self, which, lift):
        id = self.some(Team, which)
        if id:
            action = teams.reinstate if lift else teams.disqualify
            self.may(lambda: action(self.arena.at, self.organiser, id, "because"))

    @invariant()
    def the_race_is_right(self):
        with self.arena.database.read() as session:
            rows = session.execute(select(Submission, Team).join(Team, Team.id == Submission.team_id)).all()
            winners = {row.paper: row.submission_id for row in session.scalars(select(Winner))}
            sizes = session.scalars(
                select(func.count(Membership.account_id)).group_by(Membership.team_id)
            ).all()
            active = session.scalars(
                select(Job.submission_id).where(Job.state.in_(("queued", "leased")), Job.rejudge_id.is_(None))
            ).all()
            judged = session.execute(
                select(Judgement.submission_id, Judgement.look).where(Judgement.rejudge_id.is_(None))
            ).all()
        assert max(sizes, default=0) <= CONTEST.limits.team_size
        assert len(active) == len(set(active))
        assert len(judged) == len(set(judged))
        for paper in ("maml", "psenet"):
            entries = [
                Entry(s.number, s.team_id, Ruling(s.ruling), s.ranked, t.disqualified_at is not None)
                for s, t in rows
                if s.paper == paper
            ]
            standing = standings(entries)
            assert {s.number: s.status for s, _ in rows if s.paper == paper} == standing.status
            won = next((s.id for s, _ in rows if s.paper == paper and s.number == standing.winner), None)
            assert winners.get(paper) == won
        # Nothing waits for nobody: what is queued has a job.
        assert {s.id for s, _ in rows if s.status == "queued"} <= set(active)

    @invariant()
    def the_audit_agrees(self):
        assert audit_database(CONTEST, self.arena.database).wrong == []


@pytest.mark.parametrize(("examples", "steps"), [(8, 40)])
def test_life(url, request, examples, steps):
    class Here(Life):
        pass

    Here.url = url
    Here.empty = staticmethod(request.getfixturevalue("emptied"))
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_lease_that_ran_out_by_a_jump_of_the_clock_is_judged_once(arena):
    arena.submit(arena.team()[0])
    first = arena.claim("first")
    arena.time += timedelta(days=2)
    second = arena.claim("second")
    arena.time -= timedelta(days=2)
    assert not rulings.finish(arena.at, first, Result("accepted", "OK", ""), "first", None)
    assert rulings.finish(arena.at, second, Result("rejected", "OK", ""), "second", None)
    assert arena.statuses() == ["rejected"]
    assert jobs.claim(arena.database, "third", arena.time) is None
