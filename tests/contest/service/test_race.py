"""From submission to winner, on both databases."""

from datetime import timedelta

import pytest

from fuxian.contest import jobs
from fuxian.contest.keys import holds
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import disputes, rulings, submissions, teams
from fuxian.contest.service.context import Role
from fuxian.contest.store.models import Mail, Submission


def refused(code):
    return pytest.raises(Refused, check=lambda error: error.code == code)


def test_first_to_reach_wins_whatever_is_verified_first(arena):
    a, b, c = (arena.team()[0] for _ in range(3))
    receipts = [arena.submit(captain) for captain in (a, b, c)]
    assert [receipt["number"] for receipt in receipts] == [1, 2, 3]
    held = [arena.claim() for _ in range(3)]
    arena.rule("accepted", held=held[2])
    arena.rule("accepted", held=held[1])
    assert arena.statuses() == ["queued", "provisional", "provisional"]
    assert arena.winner() is None
    arena.rule("rejected", held=held[0])
    assert arena.statuses() == ["rejected", "won", "void"]
    assert arena.winner() == receipts[1]["submission"]
    with refused("paper_won"):
        arena.submit(a)


def test_later_work_is_cancelled_when_a_paper_is_won(arena):
    a, b = (arena.team()[0] for _ in range(2))
    arena.submit(a)
    arena.submit(b)
    first, second = arena.claim(), arena.claim()
    arena.rule("accepted", held=first)
    assert arena.statuses() == ["won", "void"]
    assert not jobs.heartbeat(arena.database, second, arena.time)
    assert not rulings.finish(arena.at, second, rulings.Result("accepted", "OK", ""), "w", None)
    assert arena.statuses() == ["won", "void"]


def test_the_same_commit_again_is_the_same_submission(arena):
    captain = arena.team()[0]
    first = arena.submit(captain, commit="a" * 40)
    assert arena.submit(captain, commit="a" * 40) == first
    with refused("undecided"):
        arena.submit(captain, commit="b" * 40)


def test_receipts_are_signed(arena):
    receipt = arena.submit(arena.team()[0])
    assert holds(receipt, arena.at.signer.public)
    assert not holds(receipt | {"number": 0}, arena.at.signer.public)
    assert not holds(receipt, "0" * 64)


def test_attempts_follow_the_people(arena):
    a, b = arena.team(size=2)
    limits = arena.at.contest.limits
    for _ in range(limits.attempts_per_paper):
        arena.submit(a)
        arena.rule("rejected")
        arena.time += timedelta(days=1)
    with refused("no_attempts"):
        arena.submit(a)
    teams.leave(arena.at, b)
    teams.found(arena.at, b, "a new name")
    submissions.register_paper(arena.at, b, "maml", "")
    with refused("no_attempts"):
        arena.submit(b)


def test_an_inconclusive_ruling_gets_a_fresh_look_and_then_a_person(arena):
    organiser = arena.person(Role.organiser)
    arena.submit(arena.team()[0])
    id = arena.rule("inconclusive")
    assert arena.statuses() == ["queued"]
    held = arena.claim()
    assert held.look == 2
    arena.rule("inconclusive", held=held)
    assert arena.statuses() == ["review"]
    with refused("no_looks"):
        rulings.decide(arena.at, organiser, id, "again", "once more")
    rulings.decide(arena.at, organiser, id, "accepted", "read the evidence")
    assert arena.winner() == id
    with refused("no_override"):
        rulings.decide(arena.at, organiser, id, "rejected", "changed my mind")


def test_a_rejudge_changes_nothing_until_it_is_applied(arena):
    organiser = arena.person(Role.organiser)
    a, b = (arena.team()[0] for _ in range(2))
    first, second = arena.submit(a)["submission"], arena.submit(b)["submission"]
    arena.rule("accepted")
    rejudge = disputes.open_rejudge(arena.at, organiser, [first], "the checker was mended")
    with refused("rejudge_state"):
        disputes.apply_rejudge(arena.at, organiser, rejudge)
    arena.rule("rejected")
    assert arena.winner() == first
    found = disputes.comparison(arena.at, organiser, rejudge)
    assert found["papers"]["maml"]["changed"] == {"1": ["won", "rejected"], "2": ["void", "queued"]}
    disputes.apply_rejudge(arena.at, organiser, rejudge)
    assert arena.statuses() == ["rejected", "queued"]
    assert arena.rule("accepted") == second
    assert arena.winner() == second


def test_a_challenge_that_holds_is_a_rejudge(arena):
    organiser = arena.person(Role.organiser)
    a, b = (arena.team()[0] for _ in range(2))
    id = arena.submit(a)["submission"]
    arena.rule("accepted")
    with refused("no_evidence"):
        disputes.dispute(arena.at, b, id, "  ")
    dispute = disputes.dispute(arena.at, b, id, "their log is copied from ours")
    with refused("denied"):
        disputes.answer_dispute(arena.at, b, dispute, holds=True, reasons="I say so")
    rejudge = disputes.answer_dispute(arena.at, organiser, dispute, holds=True, reasons="it is")
    arena.rule("rejected")
    disputes.apply_rejudge(arena.at, organiser, rejudge)
    assert arena.winner() is None


def test_a_disqualified_winner_makes_room(arena):
    organiser = arena.person(Role.organiser)
    a, b = (arena.team()[0] for _ in range(2))
    arena.submit(a)
    arena.submit(b)
    first, second = arena.claim(), arena.claim()
    arena.rule("accepted", held=second)
    arena.rule("accepted", held=first)
    assert arena.statuses() == ["won", "void"]
    teams.disqualify(arena.at, organiser, 1, "two accounts of one person")
    assert arena.statuses() == ["disqualified", "won"]
    teams.reinstate(arena.at, organiser, 1, "they were brothers")
    assert arena.statuses() == ["won", "void"]


def test_people_with_access_to_the_data_are_not_ranked(arena):
    insider = arena.person(affiliation="data_access")
    teams.found(arena.at, insider, "insiders")
    submissions.register_paper(arena.at, insider, "maml", "")
    arena.submit(insider)
    other = arena.submit(arena.team()[0])
    first, second = arena.claim(), arena.claim()
    arena.rule("accepted", held=second)
    assert arena.winner() == other["submission"]
    # The insider's own verification goes on: it is out of competition.
    assert arena.statuses() == ["queued", "won"]
    arena.rule("accepted", held=first)
    assert arena.statuses() == ["unranked", "won"]


def test_everybody_hears_of_a_ruling_and_the_outbox_holds_the_mail(arena):
    arena.submit(arena.team(size=2)[0])
    arena.rule("accepted")
    with arena.database.read() as session:
        mails = session.query(Mail).all()
        assert sum("获胜" in mail.text or "wins" in mail.text for mail in mails) == 2


def test_secrets_are_committed_and_opened(arena):
    a = arena.team()[0]
    id = arena.submit(a)["submission"]
    with arena.database.read() as session:
        assert not session.get(Submission, id).secret_opened
    arena.rule("rejected")
    with arena.database.read() as session:
        submission = session.get(Submission, id)
        assert submission.secret_opened
        assert len(submission.secret) == 64


def test_a_withdrawn_submission_holds_nobody_up_and_stays_an_attempt(arena):
    a, b = (arena.team()[0] for _ in range(2))
    id = arena.submit(a)["submission"]
    arena.submit(b)
    first, second = arena.claim(), arena.claim()
    arena.rule("accepted", held=second)
    with refused("denied"):
        submissions.withdraw(arena.at, b, id)
    submissions.withdraw(arena.at, a, id)
    assert arena.statuses() == ["withdrawn", "won"]
    assert not jobs.heartbeat(arena.database, first, arena.time)
