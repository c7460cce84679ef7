"""Windows, papers, eligibility, disputes and the final."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.contest.rules import disputes, papers
from fuxian.contest.rules.eligibility import Affiliation, Person, PrizeState, is_ranked, prize
from fuxian.contest.rules.final import Finalist, defence_order, ranking, require_score
from fuxian.contest.rules.race import Entry, Ruling, Status
from fuxian.contest.rules.refused import Refused
from fuxian.contest.rules.windows import Window, is_open, require_open, span
from fuxian.contest.settings import Criterion, Milestone, example_file, load_contest

CONTEST = load_contest(example_file("2021"))
MAML = CONTEST.find_paper("maml")
REPO = "https://github.com/team/maml-paddle"


@pytest.mark.parametrize("window", list(Window))
@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_an_action_is_refused_exactly_outside_its_window(window, seconds):
    opens, closes = span(CONTEST, window)
    for edge, allowed in ((opens, seconds >= 0), (closes, seconds < 0)):
        if edge is None:
            continue
        now = edge + timedelta(seconds=seconds)
        assert is_open(CONTEST, window, now) is allowed
        if allowed:
            require_open(CONTEST, window, now)
        else:
            with pytest.raises(Refused):
                require_open(CONTEST, window, now)


def test_a_refusal_says_the_time_in_both_languages():
    late = CONTEST.schedule.registration_closes
    with pytest.raises(Refused) as refused:
        require_open(CONTEST, Window.registration, late)
    assert refused.value.code == "closed" and refused.value.moment == late
    assert "2021-09-24 23:59 (GMT+8)" in refused.value.en
    assert "截止" in refused.value.zh


@pytest.mark.parametrize(
    ("readme", "named"),
    [
        ("# MAML in Paddle", True),
        ("model-agnostic  META learning for fast adaptation of deep networks", True),
        ("用飞桨复现 MAML", True),
        ("# mamlx", False),
        ("", False),
    ],
)
def test_a_readme_names_the_paper(readme, named):
    now = CONTEST.schedule.opens
    if named:
        papers.require_registration(CONTEST, now, MAML, REPO, readme, won=False)
    else:
        with pytest.raises(Refused, match="README"):
            papers.require_registration(CONTEST, now, MAML, REPO, readme, won=False)


@pytest.mark.parametrize(
    "repo",
    ["", "github.com/a/b", "https://github.com/a", "file:///etc/passwd", "https://x/a/b --upload-pack=x"],
)
def test_what_is_no_repository(repo):
    with pytest.raises(Refused, match="address"):
        papers.require_registration(CONTEST, CONTEST.schedule.opens, MAML, repo, "MAML", won=False)


def test_papers_that_are_not_public_cannot_be_registered_for():
    with pytest.raises(Refused, match="not public"):
        papers.require_registration(
            CONTEST, CONTEST.schedule.opens, CONTEST.find_paper(7), REPO, "x", won=False
        )


@pytest.mark.parametrize(
    ("run", "holds"),
    [
        (papers.ReferenceRun(0.987), True),
        (papers.ReferenceRun(0.9, (0.8, 1.0)), False),
        (papers.ReferenceRun(0.987, (0.9, 0.9)), False),
        (papers.ReferenceRun(0.984, (0.968, 1.0)), True),
    ],
)
def test_reference_runs_are_checked_by_figure_and_predictions(run, holds):
    found, en, zh = papers.reference_run_holds(
        run, Milestone(metric="accuracy", value=0.987, tolerance=0.004)
    )
    assert found is holds
    assert en and zh


def test_who_is_ranked_and_who_takes_a_prize():
    anybody, host, staff = (
        Person(a) for a in (Affiliation.none, Affiliation.host_employee, Affiliation.staff)
    )
    assert is_ranked([anybody, host]) and not is_ranked([anybody, staff])
    assert not is_ranked([Person(Affiliation.data_access)])
    assert prize([anybody], [], paid=False).state is PrizeState.ready
    assert prize([anybody], ["report"], paid=False).state is PrizeState.due
    assert prize([anybody, host], [], paid=False).state is PrizeState.withheld
    assert prize([Person(false_identity=True)], [], paid=False).state is PrizeState.withheld


def test_prizes_and_dates_of_2021():
    assert [CONTEST.prize(paper) for paper in CONTEST.paper] == [10000] * 4 + [15000] * 6
    at = CONTEST.schedule
    assert CONTEST.show(at.opens) == "2021-08-13 12:00 (GMT+8)"
    assert CONTEST.show(at.submission_closes) == "2021-09-30 23:59 (GMT+8)"
    assert CONTEST.show(at.results) == "2021-10-08 23:59 (GMT+8)"


def test_a_rejudge_shows_what_it_would_change_and_revives_what_was_void():
    race = [
        Entry(1, team=1, ruling=Ruling.accepted),
        Entry(2, team=2),
        Entry(3, team=3, ruling=Ruling.accepted),
    ]
    difference = disputes.compare(race, {1: Ruling.rejected})
    assert difference.before.winner == 1 and difference.after.winner is None
    assert difference.changed == {1: ("won", "rejected"), 2: ("void", "queued"), 3: ("void", "provisional")}
    assert disputes.compare(race, {}).changed == {}
    assert disputes.compare(race, {1: Ruling.rejected, 2: Ruling.rejected}).after.status[3] is Status.won


def test_rulings_can_be_disputed_for_some_days():
    ruled = CONTEST.schedule.opens
    disputes.require_dispute(CONTEST, ruled + timedelta(days=6), ruled, own=False, evidence="see the log")
    for now, at, evidence, code in (
        (ruled, None, "x", "not_ruled"),
        (ruled + timedelta(days=7), ruled, "x", "closed"),
        (ruled, ruled, " ", "no_evidence"),
    ):
        with pytest.raises(Refused) as refused:
            disputes.require_dispute(CONTEST, now, at, own=True, evidence=evidence)
        assert refused.value.code == code


def test_only_a_compared_rejudge_is_applied():
    state = disputes.RejudgeState
    disputes.require_open_rejudge(state.compared, state.applied)
    disputes.require_open_rejudge(state.running, state.cancelled)
    for now, wanted in (
        (state.running, state.applied),
        (state.applied, state.cancelled),
        (state.cancelled, state.applied),
    ):
        with pytest.raises(Refused):
            disputes.require_open_rejudge(now, wanted)


RUBRIC = CONTEST.final.rubric
FINALISTS = [Finalist(team, f"paper-{team}", receipt=team) for team in range(1, 5)]


def marks(*values):
    return {one.id: value for one, value in zip(RUBRIC, values, strict=True)}


def test_judges_who_were_absent_do_not_count_and_ties_share_a_place():
    scores = {
        ("paper-1", 1): marks(80, 80, 80),
        ("paper-1", 2): marks(90, 90, 90),
        ("paper-2", 1): marks(85, 85, 85),
        ("paper-2", 2): {RUBRIC[0].id: 100.0},
        ("paper-3", 1): marks(90, 80, 85),
    }
    ranked = ranking(FINALISTS, RUBRIC, scores)
    assert [(one.finalist.team, one.place) for one in ranked] == [(3, 1), (1, 2), (2, 2), (4, 4)]
    assert [one.judges for one in ranked] == [1, 2, 1, 0]
    assert ranked[-1].total is None


@given(st.binary(min_size=1, max_size=32), st.permutations(FINALISTS))
def test_the_order_of_defence_depends_on_the_secret_alone(secret, finalists):
    assert defence_order(finalists, secret) == defence_order(FINALISTS, secret)
    assert set(defence_order(finalists, secret)) == set(FINALISTS)


def test_scores_lie_within_the_rubric():
    require_score(RUBRIC, RUBRIC[0].id, 100)
    for criterion, score in ((RUBRIC[0].id, 101), (RUBRIC[0].id, float("nan")), ("beauty", 1)):
        with pytest.raises(Refused):
            require_score((Criterion(id=RUBRIC[0].id, title=RUBRIC[0].title, weight=1),), criterion, score)
