"""A verification ends with its time, or when it is cancelled, and leaves evidence either way."""

import threading

import pytest

from fuxian.verify import evidence
from fuxian.verify.reasons import Reason
from fuxian.verify.verify import verify


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "keys"))


def test_the_time_of_the_whole(toy, tmp_path):
    done = verify(str(toy), tmp_path / "results", total_seconds=0.001)
    assert (done.verdict, done.reason) == ("rejected", Reason.TIMEOUT)
    assert evidence.check(done.evidence, None).wrong == ()


def test_cancelling_before_the_first_command(toy, tmp_path):
    cancel = threading.Event()
    cancel.set()
    done = verify(str(toy), tmp_path / "results", cancel=cancel)
    assert (done.verdict, done.reason, done.commands) == ("inconclusive", Reason.CANCELLED, [])
    assert evidence.check(done.evidence, None).wrong == ()
