import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.report.numbers import (
    NBSP,
    format_bytes,
    format_figure,
    format_interval,
    format_seconds,
    format_spread,
    half_width,
)


@pytest.mark.parametrize(
    ("value", "spread", "percent", "text"),
    [
        (0.98533, 0.0043, True, f"98.53{NBSP}%"),
        (0.95, 0.01, True, f"95.0{NBSP}%"),
        (0.41512, 0.037, False, "0.415"),
        (1234.567, 100.0, False, "1235"),
        (0.123456, None, False, "0.1235"),
        (0.123456, 0.0, False, "0.1235"),
        (1.0, math.nan, False, "1"),
        (None, 0.1, True, "–"),
        (math.nan, 0.1, True, "nan"),
        (-math.inf, None, False, "-inf"),
    ],
)
def test_digits_follow_the_uncertainty(value, spread, percent, text) -> None:
    assert format_figure(value, spread, percent=percent) == text


def test_value_and_half_width_share_digits_and_unit() -> None:
    assert format_spread(0.987, 0.004, percent=True).replace(NBSP, " ") == "98.70 ± 0.40 %"


def test_intervals() -> None:
    assert format_interval((0.98103, 0.98961), percent=True).replace(NBSP, " ") == "[98.10, 98.96] %"
    assert format_interval(None) == "–"
    assert half_width((1.0, 4.0)) == 1.5
    assert half_width(None) is None


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e3))
def test_what_is_shown_differs_by_less_than_a_twentieth_of_the_spread(value: float, spread: float) -> None:
    assert abs(float(format_figure(value, spread)) - value) <= spread / 20 + 1e-9 * abs(value)


def test_durations_and_sizes() -> None:
    assert [format_seconds(s) for s in (0.02, 1.5, 600, 7200)] == ["20 ms", "1.5 s", "10 min", "2 h"]
    assert [format_bytes(b) for b in (999, 70_000, 2_500_000)] == ["999 B", "70 kB", "2.5 MB"]
