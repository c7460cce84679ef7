"""The port against the official code's recorded numbers, in float64; PyTorch is not needed."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from fuxian.papers.arcface.loss import margin_logits, margin_loss
from fuxian.papers.arcface.reference import parity
from fuxian.papers.arcface.settings import ARCFACE, COSFACE, SPHEREFACE, Margin

RELATIVE = 1e-9


@pytest.mark.parametrize("name", ["r50", "r100", "mbf"])
def test_embeddings_loss_and_every_gradient_are_the_official_ones(name):
    """The other cases are in benchmarks/arcface_step.py."""
    apart = parity.compare(name)
    assert max(apart.values()) <= RELATIVE, max(apart.items(), key=lambda pair: pair[1])


def _cosines(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.95, 0.95, (6, 9)), rng.integers(0, 9, 6)


def _slope(cosines: np.ndarray, labels: np.ndarray, margin: Margin) -> np.ndarray:
    x = paddle.to_tensor(cosines, stop_gradient=False)
    margin_loss(x, paddle.to_tensor(labels), margin).backward()
    return x.grad.numpy()


@pytest.mark.parametrize("margin", [ARCFACE, COSFACE, SPHEREFACE, Margin(32.0, 0.9, 0.4, 0.15)])
def test_the_true_gradient_is_that_of_equation_4(margin):
    cosines, labels = _cosines()

    def loss(values: np.ndarray) -> float:
        logits = margin.scale * values.copy()
        rows = np.arange(len(labels))
        theta = np.arccos(values[rows, labels])
        logits[rows, labels] = margin.scale * (np.cos(margin.m1 * theta + margin.m2) - margin.m3)
        high = logits.max(1)
        return float((np.log(np.exp(logits - high[:, None]).sum(1)) + high - logits[rows, labels]).mean())

    measured = np.zeros_like(cosines)
    for place in np.ndindex(*cosines.shape):
        step = np.zeros_like(cosines)
        step[place] = 1e-6
        measured[place] = (loss(cosines + step) - loss(cosines - step)) / 2e-6
    assert float(margin_loss(paddle.to_tensor(cosines), paddle.to_tensor(labels), margin)) == pytest.approx(
        loss(cosines), rel=1e-12
    )
    np.testing.assert_allclose(_slope(cosines, labels, margin), measured, rtol=1e-5, atol=1e-7)


def test_straight_through_has_the_same_loss_and_lacks_one_factor_of_the_gradient():
    cosines, labels = _cosines(1)
    through = Margin(m2=0.5, gradient="straight-through")
    x, y = paddle.to_tensor(cosines), paddle.to_tensor(labels)
    np.testing.assert_array_equal(margin_logits(x, y, ARCFACE).numpy(), margin_logits(x, y, through).numpy())
    true, straight = _slope(cosines, labels, ARCFACE), _slope(cosines, labels, through)
    rows = np.arange(len(labels))
    theta = np.arccos(cosines[rows, labels])
    factor = np.sin(theta + 0.5) / np.sin(theta)
    np.testing.assert_allclose(true[rows, labels], straight[rows, labels] * factor, rtol=1e-9)
    true[rows, labels] = straight[rows, labels] = 0
    np.testing.assert_array_equal(true, straight)


def test_an_example_at_its_centre_has_a_finite_gradient():
    for dtype in (np.float32, np.float64):
        slope = _slope(np.array([[1.0, -1.0], [-1.0, 1.0]], dtype), np.array([0, 0]), ARCFACE)
        assert np.isfinite(slope).all()
