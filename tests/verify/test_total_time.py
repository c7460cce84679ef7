"""A verification ends with its time, or when it is cancelled, and leaves evidence either way."""

import json
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


def test_events_name_step_and_command_and_cancelling_from_one_ends_it(toy, tmp_path):
    heard, cancel = [], threading.Event()

    def listener(event):
        heard.append((event.step, event.command))
        if event.command != event.step:  # the first of several commands of a step
            cancel.set()

    done = verify(str(toy), tmp_path / "results", listener=listener, cancel=cancel)
    assert done.reason is Reason.CANCELLED
    assert heard[0] == ("prepare", "prepare") and heard[-1][0] == done.steps[-1].name == "replay"
    assert json.loads(json.dumps(done.as_dict()))["reason"] == "CANCELLED"
