"""Rulings: properties, exact edge cases, error rates."""

import importlib.util
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from fuxian.errors import InputError
from fuxian.metrics import Units, mean
from fuxian.paper import Claim
from fuxian.verdict import Measurements, Run, e_values, measured_run, planned, rule, smoke

patient = settings(deadline=None)
RATES = Path(__file__).parents[1] / "benchmarks" / "verdict_error_rates.py"


def claim_about(subject="procedure", **fields):
    given_fields = {
        "id": "c",
        "title": "t",
        "dataset": "d",
        "split": "test",
        "metric": "figure",
        "unit": "points",
        "direction": "higher",
        "scope": "scaled",
        "subject": subject,
        "target": 0.0,
        "margin": 1.0,
        "checkpoint": "last",
        "seeds": [0],
        "iterations": 1,
        "range": [-500.0, 500.0] if subject == "weights" and "unit" not in fields else None,
    }
    return Claim.model_validate(given_fields | fields)


def recorded(*values):
    runs = [{"seed": seed, "value": value} for seed, value in enumerate(values)]
    return {"file": "r", "repo": "r", "commit": "c", "command": "m", "metric": "figure", "values": runs}


def runs_of(*values):
    return Measurements(tuple(Run(seed, value) for seed, value in enumerate(values)))


def weights_of(*examples):
    return Measurements((Run(0, math.fsum(examples) / len(examples), tuple(examples)),))


figures = st.floats(-100, 100).map(lambda x: round(x, 3))
samples = st.lists(figures, min_size=2, max_size=12)
margins = st.floats(0, 50).map(lambda x: round(x, 3))


@st.composite
def scenes(draw):
    """Claim, measurements and reference of every kind that can be ruled on."""
    subject = draw(st.sampled_from(["weights", "procedure"]))
    against_runs = draw(st.booleans())
    reference = draw(samples) if against_runs or draw(st.booleans()) else None
    claim = claim_about(
        subject,
        direction=draw(st.sampled_from(["higher", "lower"])),
        target=None if against_runs else draw(figures),
        reference=None if reference is None else recorded(*reference),
        margin=draw(margins),
    )
    if subject == "weights":
        return claim, weights_of(*draw(st.lists(figures, min_size=1, max_size=12)))
    return claim, runs_of(*draw(st.lists(figures, min_size=1, max_size=12)))


def moved(scene, change):
    """The scene with every figure changed, those of the claim too (but not the margin)."""
    claim, measurements = scene
    runs = tuple(
        Run(run.seed, change(run.value), None if run.examples is None else tuple(map(change, run.examples)))
        for run in measurements.runs
    )
    reference = None if claim.reference is None else recorded(*map(change, claim.reference.sample))
    target = None if claim.target is None else change(claim.target)
    fields = {"target": target, "reference": reference, "margin": claim.margin, "direction": claim.direction}
    fields["range"] = None if claim.range is None else sorted(map(change, claim.range))
    return claim_about(claim.subject, **fields), Measurements(runs)


def at_an_edge(verdict):
    """A bound so near to -margin, or a spread so near to none, that rounding may turn the word."""
    bounds = [bound for bound in (verdict.gain_low, verdict.gain_high) if bound is not None]
    return any(abs(bound + verdict.margin) < 1e-6 for bound in bounds)


# Properties


@patient
@given(scenes(), st.floats(0, 100))
def test_a_better_figure_never_gives_a_worse_verdict(scene, better):
    claim, measurements = scene
    before = rule(claim, measurements)
    step = better if claim.direction == "higher" else -better
    raised = Measurements(
        tuple(
            Run(r.seed, r.value + step, None if r.examples is None else tuple(x + step for x in r.examples))
            for r in measurements.runs
        )
    )
    after = rule(claim, raised)
    assume(not at_an_edge(before) and not at_an_edge(after))
    order = ["rejected", "inconclusive", "accepted"]
    assert order.index(after.verdict) >= order.index(before.verdict)


@patient
@given(scenes())
def test_negating_everything_and_turning_the_direction_changes_nothing(scene):
    claim, measurements = moved(scene, lambda x: -x)
    other = "lower" if claim.direction == "higher" else "higher"
    before, after = rule(*scene), rule(claim.model_copy(update={"direction": other}), measurements)
    assert (after.verdict, after.needed, after.method) == (before.verdict, before.needed, before.method)
    assert after.gain == before.gain
    if before.low is not None:
        assert (-after.high, -after.low) == (before.low, before.high)


@patient
@given(scenes(), st.sampled_from([-64.0, -1.0, 0.5, 32.0]))
def test_the_origin_of_the_scale_does_not_matter(scene, shift):
    before, after = rule(*scene), rule(*moved(scene, lambda x: x + shift))
    assume(not at_an_edge(before))
    assert after.verdict == before.verdict


@patient
@given(scenes(), st.sampled_from([1e-3, 0.5, 7.0, 1e6]))
def test_the_unit_does_not_matter(scene, unit):
    claim, measurements = moved(scene, lambda x: x * unit)
    before = rule(*scene)
    after = rule(claim.model_copy(update={"margin": claim.margin * unit}), measurements)
    assume(not at_an_edge(before))
    assert after.verdict == before.verdict


@patient
@given(scenes(), margins)
def test_a_wider_margin_never_turns_accepted_into_anything_else(scene, wider):
    claim, measurements = scene
    before = rule(claim, measurements)
    after = rule(claim.model_copy(update={"margin": claim.margin + wider}), measurements)
    if before.verdict == "accepted":
        assert after.verdict == "accepted"
    if after.verdict == "rejected":
        assert before.verdict == "rejected"


@patient
@given(scenes(), st.randoms())
def test_the_order_of_runs_and_examples_does_not_matter(scene, random):
    claim, measurements = scene
    runs = list(measurements.runs)
    random.shuffle(runs)
    shuffled = []
    for run in runs:
        examples = None if run.examples is None else random.sample(run.examples, len(run.examples))
        shuffled.append(replace(run, examples=None if examples is None else tuple(examples)))
    assert rule(claim, Measurements(tuple(shuffled))) == rule(claim, measurements)


@patient
@given(scenes())
def test_the_words_mean_what_they_say(scene):
    verdict = rule(*scene)
    low, high, edge = verdict.gain_low, verdict.gain_high, -verdict.margin
    if low is None:
        assert verdict.verdict == "inconclusive"
        return
    assert low <= verdict.gain <= high
    assume(not at_an_edge(verdict))
    word = "accepted" if low > edge else "rejected" if high < edge else "inconclusive"
    claim = scene[0]
    if claim.target is None and claim.subject == "procedure" and verdict.n < len(claim.reference.values):
        word = "inconclusive" if word == "accepted" else word
    assert verdict.verdict == word
    assert verdict.low <= verdict.value <= verdict.high


@patient
@given(samples, figures, margins)
def test_what_is_needed_decides_and_one_less_does_not(values, target, margin):
    verdict = rule(claim_about(target=target, margin=margin), runs_of(*values))
    assume(verdict.verdict == "inconclusive" and verdict.low is not None)
    spread = np.std(values, ddof=1)

    def decides(n):
        width = stats.t.ppf(0.95, n - 1) * spread / math.sqrt(n)
        return abs(verdict.gain + verdict.margin) > width

    if verdict.needed is None:
        assert not decides(10**8)
        return
    n = verdict.n + verdict.needed["seeds"]
    assume(n < 10**6)
    assert decides(n)
    assert not decides(n - 1)


@patient
@given(st.lists(st.tuples(st.integers(0, 99), st.floats(), st.none() | st.lists(st.floats(), max_size=4))))
def test_measurements_survive_json(rows):
    runs = (Run(seed, value, None if given is None else tuple(given)) for seed, value, given in rows)
    measurements = Measurements(tuple(runs))
    text = json.dumps(measurements.as_dict(), allow_nan=False)
    again = Measurements.from_dict(json.loads(text))
    assert again.as_dict() == measurements.as_dict()
    for run, (seed, value, given_examples) in zip(again.runs, rows, strict=True):
        assert run.seed == seed
        assert run.value == value if math.isfinite(value) else math.isnan(run.value)
        assert (run.examples is None) == (given_examples is None)


@patient
@given(st.lists(st.floats(), min_size=1, max_size=5), st.sampled_from(["higher", "lower"]), st.booleans())
def test_any_figures_whatever_give_a_verdict_that_json_can_hold(values, direction, against_runs):
    fields = {"target": None, "reference": recorded(1e-200, -1e99, 3.0)} if against_runs else {}
    verdict = rule(claim_about(direction=direction, **fields), runs_of(*values))
    json.dumps(verdict.as_dict(), allow_nan=False)
    if not all(map(math.isfinite, values)):
        assert verdict.verdict != "accepted"


# The bounds, against other computations


def test_seeds_give_students_interval():
    verdict = rule(claim_about(), runs_of(0.1, 0.4, 0.5, 1.2))
    result = stats.ttest_1samp([0.1, 0.4, 0.5, 1.2], 0.0)
    assert (verdict.low, verdict.high) == pytest.approx(tuple(result.confidence_interval(0.95)))
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx(tuple(result.confidence_interval(0.90)))
    assert (verdict.verdict, verdict.n, verdict.counted) == ("accepted", 4, "seeds")


def test_seeds_against_reference_runs_give_welchs_interval():
    ours, theirs = [0.1, 0.4, 0.5, 1.2], [3.0, 0.2, 1.1]
    verdict = rule(claim_about(target=None, reference=recorded(*theirs)), runs_of(*ours))
    interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.90)
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx(tuple(interval))
    assert verdict.target == pytest.approx(np.mean(theirs))
    assert verdict == rule(
        claim_about(target=None, reference=recorded(7.0, 8.0)), runs_of(*ours), np.array(theirs)
    )


@pytest.mark.parametrize("against_runs", [False, True])
def test_one_run_borrows_the_spread_of_the_reference(against_runs):
    theirs = [1.0, 2.0, 3.0, 4.0]
    target = None if against_runs else 1.5
    verdict = rule(
        claim_about(target=target, reference=recorded(*theirs)), runs_of(2.0 if against_runs else 1.0)
    )
    error = np.std(theirs, ddof=1) * (math.sqrt(1 + 1 / 4) if against_runs else 1)
    width = stats.t.ppf(0.95, 3) * error
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx((-0.5 - width, -0.5 + width))
    assert (verdict.n, verdict.verdict) == (1, "inconclusive")
    # four runs of the reference are too few for any number of ours; a constant has no such limit
    assert (verdict.needed is None) == against_runs


def test_examples_without_skewness_give_students_interval():
    examples = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    verdict = rule(claim_about("weights"), weights_of(*examples))
    interval = stats.ttest_1samp(examples, 0.0).confidence_interval(0.90)
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx(tuple(interval))
    assert (verdict.n, verdict.counted) == (7, "examples")


def test_skewed_examples_shift_both_bounds_towards_the_long_tail():
    examples = [1.0] * 95 + [0.0] * 4 + [0.5]
    verdict = rule(claim_about("weights", target=0.9, margin=0.01), weights_of(*examples))
    plain = stats.ttest_1samp(examples, 0.9).confidence_interval(0.90)
    assert verdict.gain_low < plain.low
    assert verdict.gain_high < plain.high
    # halls transformed t statistic at the bound is the t quantile
    error, g = np.std(examples, ddof=1) / 10, stats.skew(examples) / 10
    statistic = (verdict.gain - verdict.gain_low) / error
    transformed = statistic + g * statistic**2 / 3 + g**2 * statistic**3 / 27 + g / 6
    assert transformed == pytest.approx(stats.t.ppf(0.95, 99))


def test_the_shown_interval_of_weights_is_the_papers():
    examples = np.random.default_rng(0).binomial(5, 0.98, 600) / 5
    verdict = rule(claim_about("weights", unit="accuracy", target=0.98, margin=0.004), weights_of(*examples))
    half = stats.t.ppf(0.975, 599) * examples.std(ddof=1) / math.sqrt(600)
    assert (verdict.low, verdict.high) == pytest.approx((examples.mean() - half, examples.mean() + half))


def test_weights_against_reference_runs_join_two_intervals():
    ours, theirs = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0], [0.5, 1.0, 1.5]
    verdict = rule(claim_about("weights", target=None, reference=recorded(*theirs)), weights_of(*ours))
    widths = [stats.t.ppf(0.95, len(x) - 1) * np.std(x, ddof=1) / math.sqrt(len(x)) for x in (ours, theirs)]
    assert verdict.gain == pytest.approx(-1.0)
    assert verdict.gain_low == pytest.approx(-1.0 - math.hypot(*widths))
    assert verdict.gain_high == pytest.approx(-1.0 + math.hypot(*widths))


# Edges


@pytest.mark.parametrize("subject", ["procedure", "weights"])
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_a_bound_exactly_at_the_margin_decides_nothing(subject, direction):
    apart = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    measured = runs_of(*apart) if subject == "procedure" else weights_of(*apart)
    width = rule(claim_about(subject), measured).gain_high
    edge = claim_about(subject, direction=direction, margin=width)
    assert rule(edge, measured).verdict == "inconclusive"
    assert rule(edge.model_copy(update={"margin": width * (1 + 1e-9)}), measured).verdict == "accepted"

    worse = (2 * width, 2 * width)[direction == "higher"] * (-1 if direction == "higher" else 1)
    shifted = [worse + x for x in apart]
    measured = runs_of(*shifted) if subject == "procedure" else weights_of(*shifted)
    assert rule(edge, measured).verdict == "inconclusive"
    assert rule(edge.model_copy(update={"margin": width * (1 - 1e-9)}), measured).verdict == "rejected"


def test_a_mean_exactly_at_the_margin_is_decided_by_no_number():
    verdict = rule(claim_about(target=0.987, margin=0.004), runs_of(0.982, 0.983, 0.984))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", None)
    assert "no number of more seeds would decide" in verdict.reason


def test_few_reference_runs_cannot_be_made_up_for_by_more_seeds():
    claim = claim_about(target=None, reference=recorded(-1.0, 1.0), margin=0.5)
    verdict = rule(claim, runs_of(-0.1, 0.0, 0.1))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", None)


def test_one_run_without_a_reference_is_inconclusive():
    verdict = rule(claim_about(), runs_of(100.0))
    assert (verdict.verdict, verdict.low, verdict.gain_low, verdict.needed) == (
        "inconclusive",
        None,
        None,
        None,
    )
    assert verdict.value == verdict.gain == 100.0
    assert "one run says nothing" in verdict.reason


def test_runs_without_spread_tell_as_much_as_one():
    assert "3 runs with the very same figure" in rule(claim_about(), runs_of(5.0, 5.0, 5.0)).reason
    # equal but for rounding is equal
    assert rule(claim_about(), runs_of(0.1 + 0.2, 0.3)).verdict == "inconclusive"
    claim = claim_about(reference=recorded(1.0, 2.0, 3.0))
    many, one = rule(claim, runs_of(5.0, 5.0, 5.0)), rule(claim, runs_of(5.0))
    assert (many.gain_low, many.gain_high, many.verdict) == (one.gain_low, one.gain_high, "accepted")
    assert (many.n, one.n) == (3, 1)


@pytest.mark.parametrize(
    ("measured", "target", "word"),
    [
        (runs_of(5.0), 0.0, "inconclusive"),  # the spread would have to be borrowed
        (runs_of(5.0, 5.0), 0.0, "inconclusive"),
        (runs_of(5.0, 5.1), 0.0, "accepted"),  # not needed
        (runs_of(5.0, 5.1), None, "inconclusive"),  # the target's own spread is unknown
    ],
)
def test_reference_runs_without_spread(measured, target, word):
    verdict = rule(claim_about(target=target, reference=recorded(2.0, 2.0, 2.0)), measured)
    assert verdict.verdict == word
    if word == "inconclusive":
        assert "do not differ" in verdict.reason
    alone = rule(claim_about(target=target, reference=recorded(2.0, 3.0)), measured, reference=[2.0])
    assert alone.verdict == word


def test_weights_against_reference_runs_without_spread():
    claim = claim_about("weights", target=None, reference=recorded(2.0, 2.0))
    verdict = rule(claim, weights_of(1.0, 2.0, 9.0))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", None)
    assert verdict.low < verdict.value < verdict.high


def test_a_perfect_score_is_no_certainty():
    claim = claim_about("weights", unit="accuracy", target=0.999, margin=0.001)
    verdict = rule(claim, weights_of(*[1.0] * 600))
    assert verdict.gain_low == pytest.approx(0.05 ** (1 / 600) - 0.999)
    assert verdict.gain_low == pytest.approx(0.001 - 3 / 600, abs=1e-4)  # the rule of three
    assert (verdict.verdict, verdict.high) == ("inconclusive", 1.0)
    assert verdict.low == pytest.approx(0.025 ** (1 / 600))
    more = verdict.needed["examples"]
    assert rule(claim, weights_of(*[1.0] * (600 + more))).verdict == "accepted"
    assert rule(claim, weights_of(*[1.0] * (600 + more - 1))).verdict == "inconclusive"


def test_equal_examples_inside_the_range_may_be_wrong_both_ways():
    verdict = rule(claim_about("weights", range=[0, 2], target=0.5), weights_of(*[0.5] * 10))
    unseen = 1 - 0.05**0.1
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx((-0.5 * unseen, 1.5 * unseen))


@pytest.mark.parametrize("examples", [[5.0], [5.0] * 50])
def test_equal_examples_without_a_range_are_inconclusive(examples):
    verdict = rule(claim_about("weights", range=None), weights_of(*examples))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", None)
    assert "range" in verdict.reason


def test_one_example_with_a_range_is_nearly_no_evidence():
    verdict = rule(claim_about("weights", unit="accuracy", target=0.5, margin=0.1), weights_of(1.0))
    assert (verdict.verdict, verdict.n) == ("inconclusive", 1)
    assert verdict.gain_low == pytest.approx(0.05 - 0.5)


def test_weights_without_examples_are_inconclusive():
    verdict = rule(claim_about("weights"), runs_of(5.0))
    assert (verdict.verdict, verdict.counted, verdict.n) == ("inconclusive", "seeds", 1)
    assert "per test example" in verdict.reason


@pytest.mark.parametrize("failure", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_a_failed_run_is_named_and_never_accepted(failure, direction):
    claim = claim_about(direction=direction)
    verdict = rule(claim, runs_of(0.0, 0.1, failure, 0.2))
    assert (verdict.verdict, verdict.n, verdict.needed) == ("inconclusive", 3, None)
    assert "seed 2 failed" in verdict.reason
    assert rule(claim, runs_of(0.0, 0.1, 0.2)).verdict == "accepted"

    bad = -9.0 if direction == "higher" else 9.0
    assert rule(claim, runs_of(bad, bad + 0.1, bad + 0.2, failure)).verdict == "rejected"
    verdict = rule(claim, runs_of(failure, failure))
    assert (verdict.verdict, verdict.value, verdict.n) == ("rejected", None, 0)
    assert "seed 0, 1 failed" in verdict.reason


def test_an_example_without_a_figure_fails_the_run():
    measurements = Measurements((Run(3, 5.0, (5.0, math.nan, 5.0)),))
    verdict = rule(claim_about("weights"), measurements)
    assert verdict.verdict == "rejected"
    assert "seed 3 failed" in verdict.reason


def test_the_published_figure_is_shown_and_the_target_is_ruled_on():
    published = {"value": 0.9, "source": "Table 1"}
    claim = claim_about(scope="paper", published=published, target=0.5, margin=0.1)
    verdict = rule(claim, runs_of(0.7, 0.71, 0.72))
    assert (verdict.verdict, verdict.published, verdict.target) == ("accepted", 0.9, 0.5)
    claim = claim_about(scope="paper", published=published, target=None, margin=0.1)
    verdict = rule(claim, runs_of(0.7, 0.71, 0.72))
    assert (verdict.verdict, verdict.published, verdict.target) == ("rejected", 0.9, 0.9)


def test_the_margin_is_never_that_of_runs_given_later():
    claim = claim_about(target=None, reference=recorded(0.0, 0.1), margin=None)
    verdict = rule(claim, runs_of(1.0, 2.0, 3.0), reference=[-50.0, 50.0])
    assert verdict.margin == pytest.approx(np.std([0.0, 0.1], ddof=1))


def test_figures_are_cut_at_the_range_for_display_alone():
    verdict = rule(claim_about(unit="accuracy", target=0.9, margin=0.1), runs_of(0.4, 1.0))
    assert (verdict.low, verdict.high) == (0.0, 1.0)
    assert verdict.gain_high > 0.1


def test_a_smoke_run_rules_on_nothing():
    verdict = smoke(claim_about(), runs_of(5.0, 5.1))
    assert (verdict.verdict, verdict.reason, verdict.needed) == ("smoke", "smoke: rules on no claim", None)
    assert verdict.value == pytest.approx(5.05)


def test_a_verdict_becomes_json():
    document = json.loads(json.dumps(rule(claim_about(), runs_of(0.5)).as_dict(), allow_nan=False))
    assert {"verdict", "value", "low", "high", "n", "target", "margin", "published", "needed"} <= set(
        document
    )


# A mean of two values


@patient
@given(
    st.integers(1, 700),
    st.floats(0.5, 0.999),
    st.floats(0, 0.1),
    st.sampled_from(["higher", "lower"]),
    st.sampled_from([0.05, 0.01]),
    st.booleans(),
    st.data(),
)
def test_one_example_more_that_is_right_never_gives_a_worse_verdict(
    n, target, margin, direction, alpha, ranged, data
):
    target = target if direction == "higher" else 1 - target
    fields = {"range": [0, 1] if ranged else None, "direction": direction}
    claim = claim_about("weights", target=target, margin=margin, **fields)
    better = 1.0 if direction == "higher" else 0.0
    right = data.draw(st.integers(1, n - 1)) if n > 1 else 0
    order = ["rejected", "inconclusive", "accepted"]
    words, gains = [], []
    for count in (right, right + 1):
        # without a range all alike says nothing of what else there may be
        assume(ranged or 0 < count < n)
        verdict = rule(claim, weights_of(*[better] * count, *[1 - better] * (n - count)), alpha=alpha)
        words.append(order.index(verdict.verdict))
        gains.append((verdict.gain_low, verdict.gain_high))
    assert words[0] <= words[1]
    assert gains[0][0] <= gains[1][0] + 1e-12
    assert gains[0][1] <= gains[1][1] + 1e-12


def test_few_failures_are_no_worse_than_more_of_them():
    claim = claim_about("weights", unit="accuracy", target=0.99, margin=0.007)
    words = [rule(claim, weights_of(*[1.0] * right, *[0.0] * (600 - right))).verdict for right in (596, 597)]
    assert words == ["accepted", "accepted"]


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_right_and_wrong_examples_give_clopper_and_pearsons_bounds(alpha):
    claim = claim_about("weights", unit="accuracy", target=0.9, margin=0.01)
    verdict = rule(claim, weights_of(*[1.0] * 93, *[0.0] * 7), alpha=alpha)
    test = stats.binomtest(93, 100)
    low = test.proportion_ci(1 - 2 * alpha, method="exact").low
    high = test.proportion_ci(1 - 2 * alpha, method="exact").high
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx((low - 0.9, high - 0.9))
    shown = test.proportion_ci(0.95, method="exact")
    assert (verdict.low, verdict.high) == pytest.approx((shown.low, shown.high))
    assert verdict.alpha == alpha


# A mean of other values


def test_few_imperfect_tasks_do_not_show_their_spread():
    claim = claim_about("weights", unit="accuracy", target=0.999, margin=0.001)
    four = rule(claim, weights_of(*[1.0] * 96, *[0.96] * 4))
    assert four.verdict == "inconclusive"
    assert "fewer than 5" in four.method
    # the widest bounds that this mean can have: as if 99.84 of 100 were right
    assert four.gain_low == pytest.approx(stats.beta.ppf(0.05, 99.84, 1.16) - 0.999)
    five = rule(claim, weights_of(*[1.0] * 95, *[0.96] * 5))
    assert "skewness" in five.method
    assert five.gain_low > four.gain_low


def test_examples_without_a_range_may_hide_rare_ones():
    claim = claim_about("weights", range=None, direction="lower")
    verdict = rule(claim, weights_of(*np.random.default_rng(0).exponential(1, 50).tolist()))
    assert (verdict.verdict, verdict.needed, verdict.gain_low) == ("inconclusive", None, None)
    assert "give the claim the metric's range" in verdict.reason
    assert verdict.low < verdict.value < verdict.high


def test_a_capped_claim_counts_what_lies_beyond_as_its_end():
    errors = [*np.random.default_rng(0).exponential(1, 999).tolist(), 1e9]
    claim = claim_about("weights", range=[0, 20], capped=True, direction="lower", target=1.0, margin=0.15)
    verdict = rule(claim, weights_of(*errors))
    assert verdict.value == pytest.approx(np.minimum(errors, 20).mean())
    assert verdict.verdict == "accepted"
    assert "count as these" in verdict.method
    with pytest.raises(InputError, match="outside the metric's range"):
        rule(claim.model_copy(update={"capped": False}), weights_of(*errors))
    # of 1000 examples three more may lie between the worst that was seen and a cap further away
    usual = claim_about("weights", range=[0, 20], capped=True, direction="lower", target=1.0, margin=0.15)
    far = claim_about("weights", range=[0, 200], capped=True, direction="lower", target=1.0, margin=0.15)
    seen = weights_of(*errors[:-1])
    near_bound, far_bound = (-rule(one, seen).gain_low for one in (usual, far))
    mean, most = np.mean(errors[:-1]), max(errors[:-1])
    own = near_bound - (mean - 1)
    missed = [(1 - 0.05 ** (1 / 999)) * (end - most) for end in (20, 200)]
    noise = math.sqrt(own**2 - missed[0] ** 2)
    assert far_bound == pytest.approx(mean - 1 + math.hypot(noise, missed[1]))
    assert rule(far, seen).verdict == "inconclusive"


# Runs against runs, published estimates, several attempts


def test_nothing_is_accepted_on_fewer_seeds_than_the_reference_has_runs():
    claim = claim_about(target=None, reference=recorded(0.0, 0.1, 0.2, 0.3), margin=1.0)
    verdict = rule(claim, runs_of(0.1, 0.2, 0.3))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", {"seeds": 1})
    assert verdict.gain_low > -1.0
    assert "nothing is accepted on fewer seeds" in verdict.reason
    assert rule(claim, runs_of(0.1, 0.2, 0.3, 0.4)).verdict == "accepted"
    assert rule(claim, runs_of(-9.1, -9.2, -9.3)).verdict == "rejected"


@pytest.mark.parametrize("subject", ["weights", "procedure"])
def test_a_published_estimate_brings_its_own_error(subject):
    published = {"value": 1.0, "half_width": 0.6, "source": "Table 1"}
    fields = {"scope": "paper", "published": published, "target": None, "margin": 0.5}
    examples = np.linspace(-1, 3, 9).tolist()
    measured = weights_of(*examples) if subject == "weights" else runs_of(*examples)
    printed = rule(claim_about(subject, **fields), measured)
    estimate = rule(claim_about(subject, compared_with="estimate", **fields), measured)
    own = stats.t.ppf(0.95, 8) * np.std(examples, ddof=1) / 3
    width = math.hypot(own, 0.6 * stats.norm.ppf(0.95) / stats.norm.ppf(0.975))
    assert printed.gain_low == pytest.approx(-own)
    assert (estimate.gain_low, estimate.gain_high) == pytest.approx((-width, width))
    assert "published figure's own interval" in estimate.method


@patient
@given(scenes(), st.floats(0.001, 0.04))
def test_a_smaller_alpha_decides_less(scene, alpha):
    usual, strict = rule(*scene), rule(*scene, alpha=alpha)
    assert strict.alpha == alpha
    if strict.verdict != "inconclusive":
        assert strict.verdict == usual.verdict
    if usual.gain_low is not None:
        assert strict.gain_low <= usual.gain_low
        assert strict.gain_high >= usual.gain_high


@pytest.mark.parametrize("alpha", [0, 0.5, 1, -0.1, math.nan])
def test_alpha_is_a_probability_of_error(alpha):
    with pytest.raises(InputError, match="alpha"):
        rule(claim_about(), runs_of(1.0, 2.0), alpha=alpha)


# Figures of sets


def set_of(kind, seed=0):
    """Units of a kind, and the figure as numpy and scipy give it for any of them."""
    random = np.random.default_rng(seed)
    if kind == "ratio":
        below = random.integers(5, 40, 80)
        above = random.binomial(below, random.beta(8, 2, 80))
        return Units("ratio of sums", 80, {"above": above[:, None] * 1.0, "below": below[:, None] * 1.0})
    if kind == "auc":
        unit = np.repeat(np.arange(60), 20)
        label = random.integers(0, 2, 1200)
        score = random.normal(size=1200) + label + random.normal(size=60)[unit]
        return Units("area under the curve", 60, {"unit": unit, "score": score, "label": label})
    if kind == "folds":
        unit, same = np.repeat(np.arange(10), 60), np.tile([0, 1], 300)
        score = random.normal(size=600) + 3 * same
        arrays = {"unit": unit, "score": score, "same": same, "threshold": np.linspace(-1, 4, 51)}
        return Units("accuracy over folds", 10, arrays)
    same = np.repeat([1, 0], [500, 4000])
    return Units(
        "true accept rate", 4500, {"score": random.normal(size=4500) + 3 * same, "same": same}, {"far": 0.01}
    )


def run_with(units):
    return Measurements((Run(0, units.figure(), units=units),))


@pytest.mark.parametrize("kind", ["ratio", "auc", "folds", "tar"])
def test_a_figure_of_a_set_is_ruled_on(kind):
    measured = run_with(set_of(kind))
    value = measured.runs[0].value
    near = claim_about("weights", target=value, margin=0.1, range=[0, 1])
    verdict = rule(near, measured)
    assert (verdict.verdict, verdict.n) == ("accepted", measured.runs[0].units.n)
    assert verdict.low < verdict.value < verdict.high
    assert 0 < -verdict.gain_low < 0.1
    far_off = claim_about("weights", target=min(value + 0.2, 1.0), margin=0.0, range=[0, 1])
    assert rule(far_off, measured).verdict == "rejected"
    undecided = rule(near.model_copy(update={"margin": -verdict.gain_low / 2}), measured)
    assert undecided.verdict == "inconclusive"
    # bounds shrink with the root of the number of units
    assert undecided.needed["examples"] == pytest.approx(3 * verdict.n, rel=0.05)


@pytest.mark.parametrize(("kind", "groups"), [("ratio", 80), ("auc", 20), ("folds", 10)])
def test_the_bounds_of_a_set_are_a_jackknifes(kind, groups):
    units = set_of(kind)
    logit = kind != "auc"
    scale = (lambda x: math.log(x / (1 - x))) if logit else (lambda x: x)
    back = (lambda y: 1 / (1 + math.exp(-y))) if logit else (lambda y: y)
    left = [scale(units.figure([u for u in range(units.n) if u % groups != g])) for g in range(groups)]
    error = math.sqrt((groups - 1) / groups * sum((x - np.mean(left)) ** 2 for x in left))
    width = stats.t.ppf(0.95, groups - 1) * error
    verdict = rule(claim_about("weights", target=0.5, range=[0, 1]), run_with(units))
    expected = (back(scale(units.figure()) - width) - 0.5, back(scale(units.figure()) + width) - 0.5)
    assert (verdict.gain_low, verdict.gain_high) == pytest.approx(expected)


def test_a_false_accept_rate_that_the_impostors_cannot_show_is_not_ruled_on():
    units = set_of("tar")
    few = Units(
        units.kind, 790, {k: a[np.r_[0:500, 500:790]] for k, a in units.arrays.items()}, {"far": 0.01}
    )
    verdict = rule(claim_about("weights", target=0.1, range=[0, 1]), run_with(few))
    assert (verdict.verdict, verdict.gain_low) == ("inconclusive", None)
    assert "290 impostor pairs cannot show a false accept rate of 0.01; at least 299 can" in verdict.reason


def test_a_set_that_shows_no_spread_is_inconclusive():
    alike = Units("ratio of sums", 50, {"above": np.full((50, 1), 3.0), "below": np.full((50, 1), 4.0)})
    verdict = rule(claim_about("weights", target=0.5, range=[0, 1]), run_with(alike))
    assert (verdict.verdict, verdict.needed) == ("inconclusive", None)
    perfect = Units("ratio of sums", 50, {"above": np.full((50, 1), 4.0), "below": np.full((50, 1), 4.0)})
    assert rule(claim_about("weights", target=0.5, range=[0, 1]), run_with(perfect)).verdict == "inconclusive"


def test_units_must_give_the_figure():
    measured = Measurements((Run(0, 0.123, units=set_of("auc")),))
    with pytest.raises(InputError, match="units whose figure is"):
        rule(claim_about("weights", target=0.5, range=[0, 1]), measured)


# Before and beside the ruling


def test_planned_power_is_the_share_that_is_accepted():
    claim = claim_about(target=None, reference=recorded(-1.0, 0.0, 1.0), margin=3.0, seeds=[0, 1, 2])
    plan = planned(claim)
    random, accepted = np.random.default_rng(0), 0
    for _ in range(2000):
        theirs, ours = random.normal(size=3), random.normal(size=3)
        accepted += rule(claim, runs_of(*ours), theirs.tolist()).verdict == "accepted"
    # Welch has fewer degrees of freedom than equal spreads would need
    assert plan.power == pytest.approx(accepted / 2000, abs=0.06)
    assert planned(claim, seeds=2).power < plan.power < planned(claim, seeds=9).power
    assert any("plan 3" in warning for warning in planned(claim, seeds=2).warnings)


def test_planned_power_of_an_accuracy_is_exact():
    claim = claim_about("weights", unit="accuracy", target=0.9, margin=0.05, examples=300, margin_reason="r")
    edge = [
        rule(claim, weights_of(*[1.0] * k, *[0.0] * (300 - k))).verdict == "accepted" for k in range(250, 301)
    ]
    least = 250 + edge.index(True)
    plan = planned(claim)
    assert plan.power == pytest.approx(stats.binom.sf(least - 1, 300, 0.9))
    assert plan.warnings == ()
    low = claim.model_copy(update={"direction": "lower", "target": 0.1})
    assert planned(low).power == pytest.approx(plan.power)


def test_a_plan_warns_of_little_power_and_of_a_margin_without_a_reason():
    published = {"value": 0.987, "half_width": 0.004, "source": "Table 1"}
    claim = claim_about(
        "weights", unit="accuracy", scope="paper", published=published, target=None, margin=0.004
    )
    plan = planned(claim)
    assert plan.power == pytest.approx(stats.norm.cdf(1.96 - stats.norm.ppf(0.95)))
    assert [
        word in warning for word, warning in zip(("margin_reason", "62%"), plan.warnings, strict=True)
    ] == [
        True,
        True,
    ]
    estimate = claim.model_copy(update={"compared_with": "estimate", "margin_reason": "a reason"})
    assert planned(estimate).power == pytest.approx(
        stats.norm.cdf(1.96 / math.sqrt(2) - stats.norm.ppf(0.95))
    )
    assert planned(claim_about()).power is None


def test_an_e_value_is_the_mean_likelihood_ratio():
    from scipy.integrate import quad

    mean, _ = quad(lambda p: (p / 0.8) ** 18 * ((1 - p) / 0.2) ** 2, 0.8, 1)
    found = e_values(18, 2, 0.8)
    assert found.accepting == pytest.approx(mean / 0.2)
    assert e_values(2, 18, 0.2).rejecting == pytest.approx(found.accepting)
    assert e_values(0, 0, 0.8) == e_values(0, 0, 0.5)  # no example, no evidence
    assert e_values(0, 0, 0.8).accepting == pytest.approx(1)
    assert e_values(10**6, 0, 0.5).accepting > 1e300


@pytest.mark.parametrize(("right", "wrong", "edge"), [(-1, 0, 0.5), (0, -1, 0.5), (1, 1, 0), (1, 1, 1)])
def test_e_values_of_what_cannot_be_are_refused(right, wrong, edge):
    with pytest.raises(InputError, match="e-values"):
        e_values(right, wrong, edge)


# Bad input


@pytest.mark.parametrize(
    ("claim", "measurements", "says"),
    [
        (claim_about(), Measurements(()), "no measured run"),
        (claim_about("weights"), runs_of(1.0, 2.0), "2 runs were measured"),
        (claim_about(), Measurements((Run(4, 1.0), Run(4, 1.1))), "seed 4 was measured 2 times"),
        (claim_about("weights"), Measurements((Run(0, 1.0, ()),)), "empty list of examples"),
        (claim_about("weights"), Measurements((Run(0, 0.9, (0.5, 0.7)),)), "mean is 0.6"),
        (claim_about("weights", unit="accuracy"), weights_of(97.0, 98.0), "outside the metric's range"),
        (claim_about(unit="accuracy"), runs_of(0.97, 98.0), "seed 1 has figures"),
    ],
)
def test_measurements_that_cannot_be_the_claims(claim, measurements, says):
    with pytest.raises(InputError, match=says):
        rule(claim, measurements)


@pytest.mark.parametrize("reference", [[], [1.0, math.nan], [math.inf, 2.0]])
def test_a_reference_is_made_of_finite_figures(reference):
    with pytest.raises(InputError, match="finite figure"):
        rule(claim_about(), runs_of(1.0, 2.0), reference)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"runs": 3},
        {"runs": [3]},
        {"runs": [{"seed": 0}]},
        {"runs": [{"value": 0.5}]},
        {"runs": [{"seed": "0", "value": 0.5}]},
        {"runs": [{"seed": True, "value": 0.5}]},
        {"runs": [{"seed": 0, "value": "0.5"}]},
        {"runs": [{"seed": 0, "value": True}]},
        {"runs": [{"seed": 0, "value": 10**400}]},
        {"runs": [{"seed": 0, "value": 0.5, "examples": "0.5"}]},
        {"runs": [{"seed": 0, "value": 0.5, "examples": [[0.5]]}]},
    ],
)
def test_malformed_measurements_are_refused_in_one_sentence(data):
    with pytest.raises(InputError, match=r"^the measurements are malformed .*\.$"):
        Measurements.from_dict(data)


def test_a_metrics_figures_become_a_run():
    run = measured_run(
        claim_about(), 7, {"figure": np.float32(0.5), "loss": 2.0}, {"figure": mean.of_values([0.0, 1])}
    )
    assert run == Run(7, 0.5, (0.0, 1.0))
    assert measured_run(claim_about(), 7, {"figure": 0.5}, {}) == Run(7, 0.5)
    with pytest.raises(InputError, match=r"'figure'.*computes loss"):
        measured_run(claim_about(), 7, {"loss": 2.0}, {})


def test_neither_framework_is_imported():
    code = (
        "import sys, fuxian.verdict; heavy = {'paddle', 'torch', 'scipy', 'matplotlib'} & set(sys.modules);"
        " sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Error rates


def error_rates():
    spec = importlib.util.spec_from_file_location("verdict_error_rates", RATES)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


rates = error_rates()
SIMULATED = [
    "weights, normal, n = 30, margin 0.5 sd",
    "weights, 600 tasks of 25 queries, 99.9 +- 0.1 %",
    "weights, 300 tasks of 25 queries that fail together, 99.8 +- 0.2 %",
    "weights, 200 pictures, right or wrong, 99 +- 0.8 %",
    "weights, 1 error in 1000 at the cap, which is 15 means, n = 600, margin 0.1 of the mean",
    "weights, n = 600, against 5 reference runs",
    "set, hmean, 100 images",
    "set, TAR at FAR 0.001, 300 genuine and 4000 impostor pairs",
    "procedure, 2 seeds, margin 3 sd",
    "procedure, 5 seeds, margin 1.5 sd",
    "procedure, one run, spread of 5 reference runs, margin 3 sd",
    "procedure, 5 seeds against 5 reference runs, margin 2 sd",
    "procedure, 10 skewed seeds against 10 skewed reference runs, margin 1 sd",
    "e-value after every 100 of up to 5000 pictures, 95 +- 2 %",
]


@pytest.mark.parametrize("name", SIMULATED)
def test_error_rates_are_what_they_claim(name):
    case = next(case for case in rates.cases() if case.name == name)
    row = rates.simulate(case, repetitions=1000)
    slack = 3 * math.sqrt(0.05 * 0.95 / row.repetitions)
    assert row.edge_accepted <= 0.05 + slack
    assert row.edge_rejected <= 0.05 + slack
    assert row.faithful_rejected <= 0.05
    if row.power is not None:
        assert row.faithful_accepted == pytest.approx(row.power, abs=4 * math.sqrt(0.25 / row.repetitions))
