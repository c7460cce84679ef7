"""Reading a figure from what a command printed."""

import math

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


def test_a_pattern_of_repeats_within_repeats_is_searched_at_once():
    with pytest.raises(InputError, match="no line of the output matches"):
        read_figure(r"(?P<a>(x+x+)+)y", "x" * 2000)


@pytest.mark.parametrize("pattern", ["(?<=a)(?P<b>c)", r"(?P<a>x)\1"])
def test_what_re2_does_not_have_is_said(pattern):
    with pytest.raises(ValueError, match="RE2, which has no look-around and no back-references"):
        check_pattern(pattern)


def test_the_second_stream_counts_where_the_first_has_no_match():
    assert read_figure(ACCURACY, ["nothing", "acc: 0.5"]) == 0.5
    assert read_figure(ACCURACY, ["acc: 0.25", "acc: 0.5"]) == 0.25


@pytest.mark.parametrize(
    "pattern", ["(", "a", "(?P<a>x)(?P<b>y)", "(?P<a>" + "x" * LONGEST_PATTERN + ")", "(" * 250]
)
def test_patterns_that_cannot_serve(pattern):
    with pytest.raises(ValueError, match=r"pattern|expression"):
        check_pattern(pattern)
