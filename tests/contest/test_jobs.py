"""Jobs: held by one, never lost, never done twice."""

import threading
from datetime import timedelta

import pytest

from fuxian.contest import jobs
from fuxian.contest.evaluation import Result
from fuxian.contest.service import rulings

OK = Result("rejected", "METRIC_SHORT", "short")


def test_a_job_is_held_by_one_worker_and_given_to_another_when_it_dies(arena):
    arena.submit(arena.team()[0])
    first = arena.claim("first")
    assert arena.claim("second") is None
    arena.time += jobs.LEASE - timedelta(seconds=1)
    assert jobs.heartbeat(arena.database, first, arena.time)
    arena.time += jobs.LEASE - timedelta(seconds=1)
    assert arena.claim("second") is None
    arena.time += timedelta(seconds=2)
    second = arena.claim("second")
    assert (second.job, second.token) == (first.job, first.token + 1)
    assert not jobs.heartbeat(arena.database, first, arena.time)
    assert not rulings.finish(arena.at, first, Result("accepted", "OK", ""), "first", None)
    assert arena.statuses() == ["queued"]
    assert rulings.finish(arena.at, second, OK, "second", None)
    assert not rulings.finish(arena.at, second, OK, "second", None)
    assert arena.statuses() == ["rejected"]
    assert arena.claim() is None


def test_what_is_given_back_is_free_at_once(arena):
    arena.submit(arena.team()[0])
    held = arena.claim()
    jobs.give_back(arena.database, held, arena.time)
    again = arena.claim()
    assert again.job == held.job
    assert again.attempts == held.attempts


def test_platform_failures_wait_longer_each_time_and_cost_nothing(arena):
    captain = arena.team()[0]
    receipt = arena.submit(captain)
    waits = []
    for _ in range(3):
        held = arena.claim()
        rulings.platform_failed(arena.at, held, "no disk")
        begun = arena.time
        while arena.claim() is None:
            arena.time += timedelta(seconds=5)
        waits.append(arena.time - begun)
        arena.time += jobs.LEASE + timedelta(seconds=1)
    assert waits == sorted(waits) and waits[0] < waits[-1]
    arena.rule("accepted")
    assert receipt["attempt"] == 1
    assert arena.winner() == receipt["submission"]


def test_work_that_kills_every_worker_goes_to_a_person(arena):
    arena.submit(arena.team()[0])
    for _ in range(rulings.LOST_WORKERS):
        assert arena.claim() is not None
        arena.time += jobs.LEASE + timedelta(seconds=1)
    held = arena.claim()
    assert held.attempts > rulings.LOST_WORKERS
    rulings.hand_to_person(arena.at, held, "workers died")
    assert arena.statuses() == ["review"]


@pytest.mark.parametrize("workers", [4])
def test_many_workers_claim_each_job_once(arena, workers):
    for _ in range(12):
        arena.submit(arena.team()[0])
    claimed, lock = [], threading.Lock()

    def work():
        while (held := arena.claim(threading.current_thread().name)) is not None:
            with lock:
                claimed.append(held.job)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 12
