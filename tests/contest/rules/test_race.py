"""First to reach: properties that hold for every order of receipts and rulings."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.contest.rules.race import (
    UNDECIDED,
    Earlier,
    Entry,
    Next,
    Ruling,
    Status,
    after_look,
    next_attempt,
    standings,
)
from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import Limits

ENTRIES = st.lists(
    st.builds(
        Entry,
        number=st.just(0),
        team=st.integers(1, 5),
        ruling=st.sampled_from(list(Ruling)),
        ranked=st.booleans(),
        disqualified=st.booleans(),
    ),
    max_size=12,
).map(lambda entries: [replace(entry, number=number) for number, entry in enumerate(entries, 1)])


def decides_against(entry: Entry) -> bool:
    """Written apart from the rule: can this entry never win again, nor hold up others?"""
    return entry.disqualified or not entry.ranked or entry.ruling in (Ruling.rejected, Ruling.withdrawn)


@given(ENTRIES)
def test_the_winner_is_the_first_that_reaches_the_target(entries):
    standing = standings(entries)
    expected = None
    for entry in entries:
        if decides_against(entry):
            continue
        expected = entry.number if entry.ruling is Ruling.accepted else None
        break
    assert standing.winner == expected
    assert [n for n, status in standing.status.items() if status is Status.won] == (
        [] if expected is None else [expected]
    )


@given(ENTRIES)
def test_nothing_waits_after_the_winner_and_nothing_is_void_without_one(entries):
    standing = standings(entries)
    for number, status in standing.status.items():
        if standing.winner is None:
            assert status is not Status.void
        elif number > standing.winner:
            assert status not in UNDECIDED | {Status.won, Status.provisional}
        else:
            assert status is not Status.void


@given(ENTRIES, st.randoms())
def test_the_order_in_which_entries_are_named_does_not_matter(entries, random):
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert standings(shuffled) == standings(entries)


@given(ENTRIES, st.data())
def test_rulings_that_arrive_in_any_order_end_alike(entries, data):
    """No order of finished evaluations changes who wins, and a winner is never replaced on the way."""
    known = {entry.number: replace(entry, ruling=Ruling.none) for entry in entries}
    order = data.draw(st.permutations(entries))
    winners = set()
    for entry in order:
        known[entry.number] = entry
        winners.add(standings(known.values()).winner)
    assert len(winners - {None}) <= 1
    assert standings(known.values()) == standings(entries)


@given(ENTRIES)
def test_decided_entries_can_be_left_out(entries):
    """What the store relies on: rejected and withdrawn entries tell nothing."""
    short = [entry for entry in entries if not decides_against(entry)]
    assert standings(short).winner == standings(entries).winner


def test_a_pass_is_provisional_while_an_earlier_one_waits():
    first, second = Entry(1, team=1), Entry(2, team=2, ruling=Ruling.accepted)
    assert standings([first, second]).status == {1: Status.queued, 2: Status.provisional}
    lost = replace(first, ruling=Ruling.rejected)
    assert standings([lost, second]).status == {1: Status.rejected, 2: Status.won}
    won = replace(first, ruling=Ruling.accepted)
    assert standings([won, second]).status == {1: Status.won, 2: Status.void}


TODAY = date(2021, 9, 1)
LIMITS = Limits(attempts_per_paper=3, attempts_per_day=2)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3)), max_size=6))
def test_attempts_are_counted_by_paper_and_by_day(made):
    earlier = [Earlier(paper, date(2021, 9, day), decided=True) for paper, day in made]
    on_paper = sum(paper == "a" for paper, _ in made)
    today = sum(day == 1 for _, day in made)
    if on_paper < 3 and today < 2:
        assert next_attempt(LIMITS, "a", TODAY, earlier, won=False) == on_paper + 1
    else:
        with pytest.raises(Refused):
            next_attempt(LIMITS, "a", TODAY, earlier, won=False)


@pytest.mark.parametrize(
    ("earlier", "won", "code"),
    [
        ([], True, "paper_won"),
        ([Earlier("a", date(2021, 8, 30), decided=False)], False, "undecided"),
        ([Earlier("a", date(2021, 8, day), decided=True) for day in (1, 2, 3)], False, "no_attempts"),
        ([Earlier("b", TODAY, decided=False), Earlier("c", TODAY, decided=True)], False, "daily_limit"),
    ],
)
def test_why_no_submission_is_taken(earlier, won, code):
    with pytest.raises(Refused) as refused:
        next_attempt(LIMITS, "a", TODAY, earlier, won=won)
    assert refused.value.code == code


def test_all_looks_of_all_attempts_together_spend_alpha():
    limits = Limits(attempts_per_paper=5, looks_per_attempt=2, alpha=0.05)
    assert limits.alpha_per_look * 5 * 2 == pytest.approx(0.05)


def test_an_inconclusive_look_is_followed_by_a_fresh_one_and_then_by_a_person():
    limits = Limits(looks_per_attempt=2)
    assert after_look(limits, "inconclusive", 1, platform_failed=False) is Next.look
    assert after_look(limits, "inconclusive", 2, platform_failed=False) is Next.final
    assert after_look(limits, "rejected", 1, platform_failed=False) is Next.final
    assert after_look(limits, "inconclusive", 2, platform_failed=True) is Next.retry
