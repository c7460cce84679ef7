"""Replay: which logged losses are compared, and what they may differ by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.submission.log_lines import Figure, LogLine
from fuxian.training.chain import Chain
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.replay import PORTABLY, as_logged, judge


def lines(*losses, half_digit=0.0):
    return [
        LogLine(number, float(number), None, {"loss": Figure(loss, half_digit)})
        for number, loss in enumerate(losses, 1)
    ]


def ruling(logged, *, portable=False, otherwise=None, **runs):
    """What a log is ruled on, where each variant gives ``runs``, or as the plain run does."""
    plain = runs["plain"]
    given = {"1-thread": plain, **{name.replace("_", "-"): run for name, run in runs.items()}}
    asked = []

    def run(variant):
        asked.append(variant.name)
        return given.get(variant.name, otherwise or plain)

    try:
        made = judge(logged, run, PORTABLY if portable else None)
    except Failed as error:
        return error.reason, asked
    return made, asked


def reason(*arguments, **runs):
    made, _ = ruling(*arguments, **runs)
    return made if isinstance(made, Reason) else Reason.OK


def test_the_same_losses_agree_and_two_runs_are_enough():
    made, asked = ruling(lines(2.0, 1.0), plain=lines(2.0, 1.0))
    assert made.status == "pass"
    assert asked == ["1-thread", "2-threads"]


@pytest.mark.parametrize("factor", [1.001, 0.999, 0.0, -1.0])
def test_another_loss_does_not(factor):
    assert reason(lines(2.0, factor, 0.5), plain=lines(2.0, 1.0, 0.5)) is Reason.REPLAY_MISMATCH


def test_printed_digits_are_not_held_against_the_log():
    assert reason(lines(2.35, 1.0, half_digit=0.005), plain=lines(2.3456, 1.0)) is Reason.OK
    assert reason(lines(2.37, 1.0, half_digit=0.005), plain=lines(2.3456, 1.0)) is Reason.REPLAY_MISMATCH


def test_a_log_of_another_instruction_set_passes_within_what_those_differ_by():
    runs = {
        "plain": lines(2.0, 1.000, 0.5),
        "avx": lines(2.0, 1.003, 0.5),
        "perturbed": lines(2.0, 0.999, 0.5),
    }
    made, asked = ruling(lines(2.0, 1.005, 0.5015), **runs)
    assert (made.status, len(made.steps), made.exact) == ("pass", 3, False)
    assert asked == ["1-thread", "2-threads", "portable", "sse", "avx", "avx2", "perturbed"]
    assert reason(lines(2.001, 1.0, 0.5), **runs) is Reason.REPLAY_MISMATCH
    assert reason(lines(2.0, 1.02, 0.5), **runs) is Reason.REPLAY_MISMATCH


def test_nothing_is_compared_from_where_rounding_alone_parts_the_runs():
    runs = {"plain": lines(2.0, 1.0, 0.5, 0.4), "avx": lines(2.0, 1.001, 0.6, 0.4)}
    made, _ = ruling(lines(2.0, 1.0015, 9.0, 9.0), **runs)
    assert [step.step for step in made.steps] == [1, 2]
    assert "2 of 4 logged losses" in made.detail


def test_where_rounding_leaves_one_step_nothing_is_confirmed():
    runs = {"plain": lines(2.0, 1.0), "avx": lines(2.0, 1.3)}
    assert reason(lines(2.0, 1.1), **runs) is Reason.REPLAY_UNSTABLE


def test_a_training_that_draws_without_its_seed_confirms_nothing():
    runs = {"plain": lines(2.5, 1.0), "2_threads": lines(1.5, 1.0)}
    assert reason(lines(2.0, 1.0), **runs) is Reason.REPLAY_UNSTABLE


def test_a_step_that_the_training_does_not_log_is_a_mismatch():
    assert reason(lines(2.0, 1.0), plain=lines(2.0)) is Reason.REPLAY_MISMATCH


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("portable", [True, False])
def test_no_figure_agrees_with_what_is_not_finite(bad, portable):
    assert reason(lines(1.0, 1.0), plain=lines(bad, 1.0), portable=portable) is Reason.REPLAY_MISMATCH
    assert reason(lines(1.0, bad), plain=lines(bad, bad), portable=portable) is Reason.REPLAY_MISMATCH


def test_a_portable_log_is_replayed_to_the_last_digit_in_one_run():
    made, asked = ruling(lines(2.0, 0.1), portable=True, plain=lines(2.0, 0.1))
    assert made.exact
    assert asked == ["portable"]


def test_a_fast_log_is_replayed_with_the_variables_that_it_names():
    chain = Chain(0, "fast", (), variables={"MKL_DEBUG_CPU_TYPE": "5", "OMP_NUM_THREADS": "1"})
    way = as_logged(chain)
    assert dict(way.variables) == dict(chain.variables)
    logged, seen = lines(2.0, 0.1), []
    made = judge(logged, lambda variant: seen.append(variant) or logged, way)
    assert (made.exact, made.runs, seen) == (True, ("as-logged",), [way])
    assert as_logged(None) is as_logged(Chain(0, "fast", ())) is None
    assert as_logged(Chain(0, "portable", ())) == PORTABLY


def test_no_way_to_round_is_run_twice():
    other = lines(2.0, 0.1002)
    made, asked = ruling(other, portable=True, plain=lines(2.0, 0.1), avx2=other)
    assert made.status == "pass"
    assert asked == ["portable", "1-thread", "2-threads", "sse", "avx", "avx2"]


def test_a_portable_log_that_does_not_come_out_exactly_is_held_to_what_rounding_does():
    made, _ = ruling(lines(2.0, 0.1 + 1e-9), portable=True, plain=lines(2.0, 0.1))
    assert (made.status, made.exact) == ("pass", False)
    assert reason(lines(2.0, 0.11), portable=True, plain=lines(2.0, 0.1)) is Reason.REPLAY_MISMATCH


LOSSES = st.lists(st.floats(0.1, 10, allow_nan=False), min_size=2, max_size=6)


@given(LOSSES, st.floats(1e-7, 1e-3), st.integers(0, 5), st.integers(0, 2**16))
def test_whatever_lies_between_two_of_the_runs_passes(losses, part, moved, bits):
    """A processor that rounds like any of the tried ones, or between them, is not turned away."""
    other = [loss * (1 + part * ((bits >> step) % 2)) for step, loss in enumerate(losses)]
    between = [min(pair) + (max(pair) - min(pair)) * moved / 5 for pair in zip(losses, other, strict=True)]
    assert reason(lines(*between), plain=lines(*losses), avx=lines(*other)) is Reason.OK


@given(LOSSES, st.integers(0, 5), st.sampled_from([0.9, 0.99, 1.01, 1.2]))
def test_whatever_lies_far_outside_of_all_runs_does_not(losses, at, factor):
    at %= len(losses)
    logged = [loss * (factor if step == at else 1) for step, loss in enumerate(losses)]
    wide = [loss * 1.001 for loss in losses]
    assert reason(lines(*logged), plain=lines(*losses), avx=lines(*wide)) is Reason.REPLAY_MISMATCH
