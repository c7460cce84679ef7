"""Somebody's weights are known by what they compute: in another order, rescaled or moved a little."""

import numpy as np
import pytest

from fuxian.verify.origin import ALIKE, correlation

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(400, 12))


def network(seed):
    random = np.random.default_rng(seed)
    return random.normal(size=(12, 20)), random.normal(size=(20, 5))


def outputs(weights):
    first, second = weights
    return {"0000.0": (np.maximum(INPUTS @ first, 0) @ second).astype(np.float32)}


def test_a_network_in_another_order_and_moved_a_little_is_the_same():
    first, second = network(1)
    order, scale = RANDOM.permutation(20), np.exp(RANDOM.normal(size=20))
    other = first[:, order] * scale, second[order] / scale[:, None]
    moved = tuple(one * (1 + 0.01 * RANDOM.normal(size=one.shape)) for one in other)
    own = outputs(network(1))
    assert correlation(own, outputs(other)) == pytest.approx(1, abs=1e-6)
    assert correlation(own, outputs(moved)) > ALIKE
    # Neither a temperature nor a number added to every logit of a row hides it.
    hidden = {name: 3 * one + RANDOM.normal(size=(400, 1)) for name, one in own.items()}
    assert correlation(own, hidden) > ALIKE


def test_networks_that_are_right_on_the_same_examples_are_not_the_same():
    right = np.eye(5)[RANDOM.integers(0, 5, 400)] * 8
    ours, theirs = ({"0000.0": right + RANDOM.normal(size=right.shape)} for _ in range(2))
    assert correlation(ours, theirs) < 0.5
    assert np.corrcoef(ours["0000.0"].ravel(), theirs["0000.0"].ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    "array", [np.ones((400, 1)), np.arange(400), np.zeros((400, 5)), np.ones((3, 5)), np.ones((2, 3, 40, 40))]
)
def test_what_is_no_logits_cannot_be_compared(array):
    assert correlation({"0000.0": array}, {"0000.0": array}) is None
    assert correlation({"0000.0": RANDOM.normal(size=(400, 5))}, {"0000.0": array}) is None
