"""Teams under any sequence of actions at any time."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fuxian.contest.rules import teams
from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import example_file, load_contest

CONTEST = load_contest(example_file("2021"))
OPENS = CONTEST.schedule.opens
FREEZE = CONTEST.schedule.teams_freeze
CLOSES = CONTEST.schedule.registration_closes
PEOPLE = st.integers(1, 12)
PICK = st.integers(0, 11)


class Teams(RuleBasedStateMachine):
    """Keeps teams and links as a store would and lets anybody try anything."""

    def __init__(self):
        super().__init__()
        self.now = OPENS - timedelta(hours=1)
        self.teams = {}
        self.invites = []
        self.used = {}

    def of(self, person):
        return next((t.id for t in self.teams.values() if person in t.members), None)

    def team(self, pick):
        return self.teams[1 + pick % len(self.teams)] if self.teams else None

    def attempt(self, window_closes, action):
        """The action's result, or None where the rules refuse it; never a result outside the window."""
        try:
            result = action()
        except Refused:
            return None
        assert OPENS <= self.now < window_closes
        return result

    @rule(hours=st.sampled_from([1, 20, 24 * 10, 24 * 32]))
    def time_passes(self, hours):
        self.now += timedelta(hours=hours)

    @rule(person=PEOPLE)
    def found(self, person):
        id = len(self.teams) + 1
        made = self.attempt(CLOSES, lambda: teams.found(CONTEST, self.now, person, self.of(person), id))
        if made:
            self.teams[id] = made

    @rule(pick=PICK, person=PEOPLE)
    def invite(self, pick, person):
        if team := self.team(pick):
            made = self.attempt(CLOSES, lambda: teams.invite(CONTEST, self.now, team, person))
            if made:
                self.invites.append(made)

    @rule(pick=PICK, person=PEOPLE)
    def join(self, pick, person):
        if not self.invites:
            return
        at = pick % len(self.invites)
        invite = self.invites[at]
        team = self.teams[invite.team]
        made = self.attempt(
            CLOSES, lambda: teams.join(CONTEST, self.now, team, invite, person, self.of(person))
        )
        if made:
            self.teams[team.id], self.invites[at] = made
            self.used[at] = self.used.get(at, 0) + 1

    @rule(pick=PICK, actor=PEOPLE, person=PEOPLE, what=st.sampled_from(["remove", "hand_over"]))
    def change(self, pick, actor, person, what):
        if team := self.team(pick):
            made = self.attempt(FREEZE, lambda: getattr(teams, what)(CONTEST, self.now, team, actor, person))
            if made:
                assert actor == team.captain
                self.teams[team.id] = made

    @rule(pick=PICK, person=PEOPLE, what=st.sampled_from(["leave", "dissolve"]))
    def go(self, pick, person, what):
        if team := self.team(pick):
            made = self.attempt(FREEZE, lambda: getattr(teams, what)(CONTEST, self.now, team, person))
            if made:
                self.teams[team.id] = made

    @rule(pick=PICK, other=PICK, actor=PEOPLE)
    def merge(self, pick, other, actor):
        into, away = self.team(pick), self.team(other)
        if into and away:
            made = self.attempt(FREEZE, lambda: teams.merge(CONTEST, self.now, into, away, actor))
            if made:
                self.teams[into.id], self.teams[away.id] = made

    @invariant()
    def nobody_is_in_two_teams(self):
        members = [person for team in self.teams.values() for person in team.members]
        assert len(members) == len(set(members))

    @invariant()
    def teams_have_a_captain_and_room(self):
        for team in self.teams.values():
            assert len(team.members) <= CONTEST.limits.team_size
            assert team.dissolved or team.captain in team.members

    @invariant()
    def a_link_serves_one_person(self):
        assert all(times == 1 for times in self.used.values())


Teams.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTeams = Teams.TestCase


def test_the_freeze_comes_before_registration_closes():
    team = teams.Team(1, captain=1, members=frozenset({1, 2}))
    teams.leave(CONTEST, FREEZE - timedelta(seconds=1), team, 2)
    for action in (
        lambda: teams.leave(CONTEST, FREEZE, team, 2),
        lambda: teams.remove(CONTEST, FREEZE, team, 1, 2),
        lambda: teams.hand_over(CONTEST, FREEZE, team, 1, 2),
        lambda: teams.dissolve(CONTEST, FREEZE, team, 1),
    ):
        with pytest.raises(Refused, match=r"closed at 2021-09-23 00:00 \(GMT\+8\)"):
            action()
    invite = teams.invite(CONTEST, FREEZE, team, 1)
    joined, _ = teams.join(CONTEST, FREEZE, team, invite, 3, None)
    assert joined.members == {1, 2, 3}


def test_a_team_that_has_submitted_is_not_dissolved():
    team = teams.Team(1, captain=1, members=frozenset({1}), submitted=True)
    with pytest.raises(Refused, match="submitted"):
        teams.dissolve(CONTEST, OPENS, team, 1)
