"""The port against the official code's recorded numbers, in float64; TensorFlow is not needed."""

from __future__ import annotations

import numpy as np
import pytest

from fuxian.papers.dmr.reference import cases, parity
from fuxian.papers.dmr.sampling import LearnedUnigram, expected
from fuxian.weights import load_tensors

RELATIVE = 1e-9


def _case(name: str) -> str:
    if name == "alimama" and not cases.sample_file().is_file():
        pytest.skip("the official sample of the Alimama data is not on this machine")
    return name


@pytest.mark.parametrize("name", ["made-up", "alimama"])
def test_outputs_losses_and_every_gradient_are_the_official_ones(name):
    apart = parity.compare(_case(name))
    assert len(apart) == 6 + 54
    assert max(apart.values()) <= RELATIVE, max(apart.items(), key=lambda pair: pair[1])


def test_training_steps_in_float64_have_the_official_losses():
    recorded = load_tensors(parity.RECORDED / "made-up.safetensors")
    found = parity.losses_of_steps("made-up", "float64")
    # Paddle keeps the learning rate in float32.
    np.testing.assert_allclose(found, recorded["steps/float64"], rtol=1e-6)


def test_the_sampler_learns_and_counts_as_the_official_one():
    """Each recorded expectation is that of one whole number of tries, at the frequencies of the batches before."""
    recorded = load_tensors(parity.RECORDED / "made-up.safetensors")
    made = cases.case("made-up")
    sampler = LearnedUnigram(made.layout.field("cate_id").values)
    for step, rows in enumerate(made.batches):
        classes, drawn, right = (recorded[f"samples/{step}/{name}"] for name in ("classes", "drawn", "right"))
        assert len(np.unique(classes)) == len(classes) == 2000
        share = sampler.probabilities
        tries = np.median(np.log1p(-drawn.astype(np.float64)) / np.log1p(-share[classes]))
        assert abs(tries - round(tries)) < 0.05 and tries > 2000
        label = rows[:, 99].astype(np.int64)
        np.testing.assert_allclose(expected(share[classes], 2000, round(tries)), drawn, rtol=2e-6)
        np.testing.assert_allclose(expected(share[label], 2000, round(tries)), right, rtol=2e-6)
        sampler.learn(label)
