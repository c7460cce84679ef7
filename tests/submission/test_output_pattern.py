"""Reading a figure from what a command printed."""

import math
import time

import pytest

from fuxian.errors import InputError
from fuxian.submission.output_pattern import LONGEST_PATTERN, check_pattern, read_figure

ACCURACY = r"acc: (?P<accuracy>\S+)"


def test_the_last_match_counts_and_is_scaled():
    output = "acc: 10.0\nnoise\nacc: 98.5 acc: 98.75\nthe end"
    assert read_figure(ACCURACY, output, 0.01) == pytest.approx(0.9875)


@pytest.mark.parametrize("printed", ["nan", "inf", "-inf", "1e999"])
def test_a_figure_that_is_not_finite_is_nan(printed):
    assert math.isnan(read_figure(ACCURACY, f"acc: {printed}"))


@pytest.mark.parametrize("output", ["", "accuracy 1", "acc: high"])
def test_no_figure_is_one_sentence(output):
    with pytest.raises(InputError, match="pattern"):
        read_figure(ACCURACY, output)


def test_a_pattern_that_backtracks_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr("fuxian.submission.output_pattern.SECONDS", 1.0)
    began = time.monotonic()
    with pytest.raises(InputError, match="repeats"):
        read_figure(r"(?P<a>(x+x+)+)y", "x" * 60)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "pattern", ["(", "a", "(?P<a>x)(?P<b>y)", "(?P<a>" + "x" * LONGEST_PATTERN + ")", "(" * 250]
)
def test_patterns_that_cannot_serve(pattern):
    with pytest.raises(ValueError, match=r"pattern|expression"):
        check_pattern(pattern)
