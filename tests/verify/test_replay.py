"""Replay: which logged losses are compared, and what they may differ by."""

import pytest

from fuxian.submission.log_lines import Figure, LogLine
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.replay import _compare, _require_agreement


def lines(*losses, half_digit=0.0):
    return [
        LogLine(number, float(number), None, {"loss": Figure(loss, half_digit)})
        for number, loss in enumerate(losses, 1)
    ]


def ruling(logged, one, two):
    try:
        _require_agreement(_compare(logged, one, two))
    except Failed as error:
        return error.reason
    return Reason.OK


def test_the_same_losses_agree():
    assert ruling(lines(2.0, 1.0), lines(2.0, 1.0), lines(2.0, 1.0)) is Reason.OK


@pytest.mark.parametrize("factor", [1.001, 0.999, 0.0, -1.0])
def test_another_loss_does_not(factor):
    logged = lines(2.0, 1.0 * factor, 0.5)
    assert ruling(logged, lines(2.0, 1.0, 0.5), lines(2.0, 1.0, 0.5)) is Reason.REPLAY_MISMATCH


def test_printed_digits_are_not_held_against_the_log():
    assert ruling(lines(2.35, half_digit=0.005), lines(2.3456), lines(2.3456)) is Reason.OK
    assert ruling(lines(2.37, half_digit=0.005), lines(2.3456), lines(2.3456)) is Reason.REPLAY_MISMATCH


def test_what_two_runs_differ_by_is_allowed_to_a_third_from_then_on():
    one, two = lines(2.0, 1.000, 0.5), lines(2.0, 1.001, 0.5)
    assert ruling(lines(2.0, 1.004, 0.504), one, two) is Reason.OK
    assert ruling(lines(2.004, 1.0, 0.5), one, two) is Reason.REPLAY_MISMATCH
    assert ruling(lines(2.0, 1.02, 0.5), one, two) is Reason.REPLAY_MISMATCH


def test_a_training_that_draws_without_its_seed_confirms_nothing():
    assert ruling(lines(2.0), lines(2.5), lines(1.5)) is Reason.REPLAY_UNSTABLE


def test_a_step_that_the_training_does_not_log_is_a_mismatch():
    assert ruling(lines(2.0, 1.0), lines(2.0), lines(2.0)) is Reason.REPLAY_MISMATCH


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_figure_agrees_with_what_is_not_finite(bad):
    assert ruling(lines(1.0), lines(bad), lines(1.0)) is Reason.REPLAY_MISMATCH
    assert ruling(lines(bad), lines(bad), lines(bad)) is Reason.REPLAY_MISMATCH
