"""The candidate samplers, and the sampled softmax beside the whole one."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError
from fuxian.papers.dmr.loss import HIT, full_logits, match_loss, sampled_logits
from fuxian.papers.dmr.sampling import LearnedUnigram, expected, log_uniform, sample


def test_single_draws_follow_the_probabilities_and_several_are_different_classes():
    probabilities = np.array([0.5, 0.2, 0.1, 0.1, 0.06, 0.04])
    rng, rounds = np.random.default_rng(0), 1500
    times = np.zeros(6)
    for _ in range(rounds):
        one = sample(probabilities, np.array([0]), 1, rng)
        times[one.classes] += 1
        np.testing.assert_allclose(one.drawn, probabilities[one.classes])
        assert len(set(sample(probabilities, np.array([0]), 4, rng).classes)) == 4
    np.testing.assert_allclose(times / rounds, probabilities, atol=0.05)


def test_three_draws_that_differ_are_expected_as_three_draws():
    probabilities = np.array([0.25, 0.75])
    np.testing.assert_allclose(expected(probabilities, 3, 3), 3 * probabilities)
    np.testing.assert_allclose(expected(probabilities, 3, 4), 1 - (1 - probabilities) ** 4)


def test_the_unigram_sampler_learns_frequencies_and_zipfs_sums_to_one():
    sampler = LearnedUnigram(4)
    np.testing.assert_allclose(sampler.probabilities, 0.25)
    sampler.learn(np.array([1, 1, 3]))
    np.testing.assert_allclose(sampler.probabilities, np.array([1, 3, 1, 2]) / 7)
    assert log_uniform(50).sum() == pytest.approx(1.0)
    assert (np.diff(log_uniform(50)) < 0).all()


def test_more_classes_than_there_are_cannot_be_drawn():
    with pytest.raises(InputError, match="4 different classes of 3"):
        sample(np.full(3, 1 / 3), np.array([0]), 4, np.random.default_rng(0))


def test_a_sample_of_all_other_classes_is_the_whole_softmax():
    """With every class in the sample and nothing subtracted, only the hits keep the right ones from counting twice."""
    rng = np.random.default_rng(1)
    user, vectors = (paddle.to_tensor(rng.normal(size=shape)) for shape in ((5, 4), (7, 4)))
    right = paddle.to_tensor(rng.integers(0, 7, 5))
    zeros = paddle.zeros([7], "float64")
    sampled = sampled_logits(user, vectors, right, paddle.arange(7), zeros[:5], zeros)
    assert (sampled.numpy() < HIT / 2).sum() == 5
    first = paddle.zeros([5], "int64")
    whole = match_loss(full_logits(user, vectors), right)
    assert float(match_loss(sampled, first)) == pytest.approx(float(whole), rel=1e-12)


def test_a_class_drawn_often_is_not_put_down_for_it():
    """log Q is subtracted from each logit, the right one's too."""
    user, vectors = paddle.ones([1, 2]), paddle.ones([3, 2])
    logits = sampled_logits(
        user,
        vectors,
        paddle.to_tensor([0]),
        paddle.to_tensor([1, 2]),
        paddle.to_tensor([0.5]),
        paddle.to_tensor([0.1, 0.2]),
    )
    np.testing.assert_allclose(logits.numpy(), [[1.5, 1.9, 1.8]], rtol=1e-6)


def test_a_loss_of_more_than_64_is_told():
    logits = paddle.to_tensor([[100.0, 0.0]])
    assert float(match_loss(logits, paddle.to_tensor([1]))) == pytest.approx(100.0)


def test_a_class_that_is_far_below_the_highest_has_its_whole_loss():
    logits = paddle.to_tensor([[0.0, 100.0], [1.0, 2.0]], stop_gradient=False)
    loss = match_loss(logits, paddle.to_tensor([0, 1]))
    loss.backward()
    less = np.log1p(np.exp(-1.0))
    np.testing.assert_allclose(float(loss), (100 + less) / 2, rtol=1e-6)
    small = 1 / (1 + np.e)
    np.testing.assert_allclose(logits.grad.numpy(), [[-0.5, 0.5], [small / 2, -small / 2]], rtol=1e-5)
