"""What a training starts from: weights that are worth nothing after one step, whatever two of them have in common."""

from types import SimpleNamespace

import numpy as np
import pytest

from fuxian.verify import training
from fuxian.verify.reasons import Failed, Reason


def started(value, *, own=0.95, worthless=(0.25, 0.3), target=0.9, direction="higher"):
    ruling = SimpleNamespace(value=own, target=target, margin=0.02)
    standard = training.Standard(lambda file: value, ruling, worthless, lambda file: ruling)
    training._require_worthless(SimpleNamespace(direction=direction), standard, value)


@pytest.mark.parametrize("value", [None, 0.25, 0.6, 0.87])
def test_a_training_from_nothing_starts_with_little(value):
    started(value)


@pytest.mark.parametrize(("value", "own"), [(0.93, 0.95), (0.885, 0.95), (0.87, 0.91)])
def test_trained_weights_in_another_order_are_still_worth_what_they_were(value, own):
    with pytest.raises(Failed, match="does not start from nothing") as raised:
        started(value, own=own)
    assert raised.value.reason is Reason.WARM_START


def test_an_error_without_bound_may_fall_far_in_one_step():
    started(5.0, own=0.4, worthless=(1e6, 80.0), target=0.4, direction="lower")
    with pytest.raises(Failed):
        started(0.41, own=0.4, worthless=(1e6, 80.0), target=0.4, direction="lower")


def test_an_allowed_start_is_told_after_a_step_of_adam():
    random = np.random.default_rng(0)
    backbone = 0.05 * random.standard_normal((64, 64)).astype(np.float32)

    def after_a_step(seed):
        draws = np.random.default_rng(seed)
        moved = backbone + 1e-3 * np.sign(draws.standard_normal(backbone.shape)).astype(np.float32)
        return {"backbone": moved, "head": draws.standard_normal((64, 8)).astype(np.float32)}

    first, second = after_a_step(1), after_a_step(2)
    assert training.share_in_common(first, second, []) > training.MANY
    assert training.share_in_common(first, second, [{"theirs": backbone}]) == 0
    other = {"theirs": random.standard_normal(backbone.shape).astype(np.float32)}
    assert training.share_in_common(first, second, [other]) > training.MANY


@pytest.mark.parametrize(("noise", "alike"), [(0.3, True), (0.5, True), (1.0, True), (4.0, False)])
def test_noise_does_not_hide_what_two_starts_come_from(noise, alike):
    """Trained weights that each seed moves by so much of themselves."""
    random = np.random.default_rng(0)
    trained = {f"{name}.weight": random.standard_normal((32, 48)).astype(np.float32) for name in "abc"}
    starts = [
        {
            name: (one * (1 + noise * draws.standard_normal(one.shape))).astype(np.float32)
            for name, one in trained.items()
        }
        for draws in map(np.random.default_rng, (1, 2))
    ]
    assert (training.share_in_common(*starts, [], alike=training.ALIKE) > training.MANY) == alike


def test_starts_from_nothing_have_nothing_in_common():
    """Whatever their size: small tensors correlate by chance."""
    for seed in range(200):
        draws = np.random.default_rng(seed)
        sizes = [(4, 4), (5, 5), (8, 3, 3), (64,), (128, 64)]
        starts = [
            {str(size): draws.uniform(-0.1, 0.1, size).astype(np.float32) for size in sizes} for _ in "ab"
        ]
        assert training.share_in_common(*starts, [], alike=training.ALIKE) == 0
