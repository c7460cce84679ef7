"""Causes of two series of learning rates, made here from the formulas of common schedules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian.align.diagnose import diagnose
from fuxian.align.divergence import Divergence

STEPS = np.arange(60.0)


def restarts(period: float) -> np.ndarray:
    return 0.5 + 0.5 * np.cos(np.pi * (STEPS % period) / period)


CURVES = {
    "constant": lambda length: np.ones_like(STEPS) + 0 * length,
    "cosine": lambda length: 0.5 + 0.5 * np.cos(np.pi * np.minimum(STEPS / length, 1.0)),
    "restarts": restarts,
    "linear": lambda length: 1 - np.minimum(STEPS / length, 1.0),
    "square": lambda length: (1 - np.minimum(STEPS / length, 1.0)) ** 2,
    "triangles": lambda length: 0.2 + np.abs((STEPS / length) % 2 - 1),
    "inverse root": lambda length: (1 + STEPS / length) ** -0.5,
}


def cause(port: np.ndarray, reference: np.ndarray) -> str:
    facts = {"port_series": port, "reference_series": reference, "step": 0}
    return diagnose(
        Divergence("learning_rate", "optimizer", "optimizer", "group", 1.0, 1e-5, facts=facts)
    ).cause


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CURVES)),
    st.floats(0.01, 100).filter(lambda f: abs(f - 1) > 0.01),
    st.integers(4, 40),
)
def test_rates_that_are_a_multiple_of_the_reference_are_another_rate(curve, factor, length):
    rates = CURVES[curve](length)
    assert cause(0.01 * factor * rates, 0.01 * rates) == "learning_rate"
    assert cause(0.01 * factor * rates[:1], 0.01 * rates[:1]) == "learning_rate"


@pytest.mark.parametrize("curve", sorted(set(CURVES) - {"constant"}))
@pytest.mark.parametrize(("mine", "other"), [(9, 6), (6, 9), (10, 20), (25, 20), (12, 13), (90, 75)])
def test_the_same_curve_on_another_scale_of_time_is_another_length(curve, mine, other):
    assert cause(0.1 * CURVES[curve](mine), 0.1 * CURVES[curve](other)) == "schedule_length"


def test_another_highest_rate_above_the_same_lowest_one_is_another_rate():
    rates = [0.001 + (highest - 0.001) * restarts(10) for highest in (0.05, 0.1)]
    assert cause(*rates) == "learning_rate"


def test_another_lowest_rate_below_the_same_highest_one_is_another_schedule():
    rates = [lowest + (0.1 - lowest) * CURVES["cosine"](20) for lowest in (0.0, 0.001)]
    assert cause(*rates) == "schedule_kind"


@pytest.mark.parametrize(
    ("one", "two"), [("cosine", "linear"), ("square", "linear"), ("restarts", "triangles")]
)
def test_another_curve_is_no_other_length(one, two):
    assert cause(CURVES[one](20), CURVES[two](20)) != "schedule_length"


def test_a_longer_warm_up_is_called_that_and_no_other_length():
    rates = [np.minimum((STEPS + 1) / length, 1.0) for length in (4, 5)]
    assert cause(*rates) == "warmup"
