"""Parsing in a child process: what comes back, and what comes of parsers that hang, grow, fail or die."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest

from fuxian import deadline
from fuxian.errors import InputError, Malformed, PlatformError, Stopped
from fuxian.untrusted import MIB, Arrays, parsed


def parse(function, *arguments, **limits):
    return parsed(function, *arguments, what="it", **limits)


def test_documents_and_arrays_come_back():
    assert parse("a{}".format, "b") == "ab"
    made = parse(Arrays, {"x": np.arange(6.0).reshape(2, 3), "none": np.zeros((0, 2))}, {"text": "é"})
    assert made.document == {"text": "é"}
    np.testing.assert_array_equal(made.arrays["x"], np.arange(6.0).reshape(2, 3))
    assert made.arrays["none"].shape == (0, 2)
    assert parse(Arrays, {"x": np.float32(3.5)}).arrays["x"].shape == ()


def test_it_is_another_process_and_the_same_one_each_time():
    assert parse(os.getpid) == parse(os.getpid) != os.getpid()


def test_relative_paths_mean_the_callers_folder(tmp_path, monkeypatch):
    parse(os.getcwd)
    monkeypatch.chdir(tmp_path)
    assert parse(os.getcwd) == str(tmp_path)


def test_what_hangs_is_ended_and_the_next_call_is_answered():
    began = time.monotonic()
    with pytest.raises(Malformed, match=r"^it: reading it takes more than 0.3 s"):
        parse(time.sleep, 60, seconds=0.3)
    assert time.monotonic() - began < 30
    assert parse(len, "abc") == 3


def test_a_pattern_that_backtracks_is_ended():
    with pytest.raises(Malformed, match="takes more than"):
        parse(re.fullmatch, "(a+)+b", "a" * 60, seconds=0.5)


def test_what_grows_is_ended():
    with pytest.raises(Malformed, match="64 MiB of memory"):
        parse(bytes, 300 * MIB, memory=64 * MIB)
    assert parse(len, "abc") == 3


def test_what_dies_is_said():
    with pytest.raises(Malformed, match="ends the reader with SIGSEGV"):
        parse(signal.raise_signal, signal.SIGSEGV)
    with pytest.raises(Malformed, match="ends the reader"):
        parse(os._exit, 0)
    assert parse(len, "abc") == 3


RAISE = "(_ for _ in ()).throw(__import__('fuxian.errors').errors.{}('line 3 is wrong.'))"


@pytest.mark.parametrize("error", [InputError, Malformed, PlatformError])
def test_errors_with_a_sentence_come_through(error):
    with pytest.raises(error, match=r"^line 3 is wrong\.$") as raised:
        parse(eval, RAISE.format(error.__name__))
    assert type(raised.value) is error


@pytest.mark.parametrize(
    "wrong", ["1 / 0", "[][0]", "int('a' * 9)", "open('/nowhere')", "'\\ud800'.encode()"]
)
def test_any_other_error_is_malformed_input(wrong):
    with pytest.raises(Malformed, match=r"^it: it cannot be read \(\w+\); mend it\.$"):
        parse(eval, wrong)


@pytest.mark.parametrize("answer", ["{1, 2}", "10**5000", "b'bytes'"])
def test_answers_that_are_no_json(answer):
    with pytest.raises(Malformed):
        parse(eval, answer)
    assert parse(len, "abc") == 3


def test_an_answer_that_is_nested_without_end():
    with pytest.raises(Malformed, match=r"nested too deeply|cannot be read"):
        parse(eval, "__import__('functools').reduce(lambda inner, _: [inner], range(10**6), [])")
    assert parse(len, "abc") == 3


def test_arrays_of_objects_do_not_come_back():
    with pytest.raises(Malformed):
        parse(Arrays, {"x": np.array([None])})


def test_a_deadline_ends_a_call_early():
    with pytest.raises(Stopped, match="1 s that it may take"), deadline.within(1):
        parse(time.sleep, 60)


def test_cancelling_ends_a_call_early():
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(Stopped) as raised, deadline.within(None, cancel):
        parse(time.sleep, 60)
    assert raised.value.cancelled


def test_each_thread_has_a_child_of_its_own():
    found = []
    threads = [threading.Thread(target=lambda: found.append(parse(os.getpid))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2


def test_the_child_can_write_no_file(tmp_path):
    with pytest.raises(Malformed):
        parse(np.save, tmp_path / "x.npy", np.zeros(1000))
    assert not (tmp_path / "x.npy").exists() or (tmp_path / "x.npy").stat().st_size == 0
