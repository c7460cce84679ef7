"""The controls of a ruling: what worthless weights must not reach, and what chance may do."""

from types import SimpleNamespace

import numpy as np
import pytest

from fuxian.verify import control
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.rungs import Controlled, Predicted

RULING = SimpleNamespace(target=0.9, margin=0.05)
TERMS = SimpleNamespace(claim=SimpleNamespace(direction="higher"))


def judged(monkeypatch, own=0.95, **values):
    """What comes of controls with these figures; the submitted weights have ``own``."""
    runs = [SimpleNamespace(value=value) for value in (*values.values(), own)]
    monkeypatch.setattr(control, "score_predictions", lambda *_: runs)
    controls = {kind: Controlled([0], {"0": np.full(3, number + 1.0)}) for number, kind in enumerate(values)}
    return control.judge_controls(TERMS, None, Predicted(3, [], {"0": np.zeros(3)}, controls), RULING)


def test_a_figure_that_does_not_rest_on_the_weights_is_there_with_both(monkeypatch):
    with pytest.raises(Failed) as raised:
        judged(monkeypatch, shuffled=0.86, fresh=0.95)
    assert raised.value.reason is Reason.METRIC_FIXED


@pytest.mark.parametrize(("shuffled", "fresh"), [(0.86, 0.5), (0.5, 0.86), (0.3, 0.4), (float("nan"), 0.4)])
def test_one_that_reaches_the_claim_may_be_chance(monkeypatch, shuffled, fresh):
    made = judged(monkeypatch, shuffled=shuffled, fresh=fresh)
    assert made.status == "pass"
    assert made.values["fresh"] == fresh


def test_the_very_predictions_of_the_submitted_weights_are_no_chance(monkeypatch):
    same = {"0": np.zeros(3)}
    controls = {"shuffled": Controlled([0], same), "fresh": Controlled([0], {"0": np.ones(3)})}
    with pytest.raises(Failed, match="same predictions"):
        control.judge_controls(TERMS, None, Predicted(3, [], same, controls), RULING)


def test_a_control_whose_predictions_have_other_names_is_judged_all_the_same(monkeypatch):
    values = {"shuffled": 0.3, "fresh": 0.4, "nudged": 0.95}
    runs = [SimpleNamespace(value=value) for value in (*values.values(), 0.95)]
    scored = []
    monkeypatch.setattr(control, "score_predictions", lambda terms, test, asked: scored.extend(asked) or runs)
    controls = {kind: Controlled([0], {"0000.0": np.ones(3), f"0000.{kind}": np.ones(3)}) for kind in values}
    submitted = {"0000.0": np.zeros(3), "0001.0": np.zeros(3)}
    made = control.judge_controls(TERMS, None, Predicted(3, [], submitted, controls), RULING)
    assert made.values == values
    assert list(scored[-1][0]) == ["0000.0"]


@pytest.mark.parametrize("nudged", [0.95, 0.9, 0.7])
def test_a_figure_that_rounding_takes_little_from_rests_on_what_was_learned(monkeypatch, nudged):
    made = judged(monkeypatch, shuffled=0.3, fresh=0.4, nudged=nudged)
    assert made.values["nudged"] == nudged
    assert made.worthless == [0.3, 0.4]


@pytest.mark.parametrize("nudged", [0.6, 0.4, float("nan")])
def test_code_that_knows_its_own_weights_is_found(monkeypatch, nudged):
    with pytest.raises(Failed, match="moved by a thousandth") as raised:
        judged(monkeypatch, shuffled=0.3, fresh=0.4, nudged=nudged)
    assert raised.value.reason is Reason.METRIC_FIXED
