"""The port against the official code's recorded numbers, in float64; PyTorch is not needed."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from fuxian.align.sketch import sketch
from fuxian.papers.portraitnet import data
from fuxian.papers.portraitnet.loss import consistency_loss, edge_loss, mask_loss
from fuxian.papers.portraitnet.model import PortraitNet
from fuxian.papers.portraitnet.reference import cases, parity
from fuxian.weights import load_tensors

RELATIVE = 1e-9


@pytest.fixture(scope="module")
def recorded():
    return load_tensors(parity.RECORDED)


def test_outputs_losses_and_every_gradient_are_the_official_ones():
    apart = parity.differences(parity.one_batch())
    assert sum(name.startswith("gradient/") for name in apart) > 200
    assert max(apart.values()) <= RELATIVE, max(apart.items(), key=lambda pair: pair[1])


def test_the_network_has_the_papers_size_and_begins_as_the_official_one(recorded):
    paddle.seed(0)
    network = PortraitNet()
    learned = [p for p in network.parameters() if not p.stop_gradient]
    assert sum(int(p.size) for p in learned) == 2_080_904
    initial = {
        name.removeprefix("initial/"): v for name, v in recorded.items() if name.startswith("initial/")
    }
    state = network.state_dict()
    assert len(initial) == 5
    for name, value in initial.items():
        np.testing.assert_allclose(sketch(state[name].numpy()), value, rtol=1e-6, atol=1e-6)
    # He et al.'s deviation, which depthwise convolutions too have from the inputs of one output.
    for name, inputs in (("stage0.0.weight", 27), ("stage7.conv.3.weight", 9), ("stage7.conv.6.weight", 960)):
        assert float(state[name].std()) == pytest.approx((2 / inputs) ** 0.5, rel=0.08)


def test_placements_edges_and_the_test_picture_are_the_official_ones(recorded):
    for number, (width, height, side, draws) in enumerate(cases.placements()):
        off = (np.array(draws[:2]) - 0.5) * 2 * side / 4
        made = data.placed(width, height, side, off, 90 * draws[2] - 45, draws[3] + 0.5)
        np.testing.assert_allclose(made, recorded[f"placement/{number}"], rtol=1e-9, atol=1e-9)
    for number in range(3):
        picture, mask = cases.masked_picture(number)
        np.testing.assert_allclose(
            sketch(data.edges(mask)), recorded[f"edge/{number}"], rtol=1e-12, atol=1e-12
        )
        # The official pictures are BGR from the beginning, these are RGB.
        padded, padded_mask = data.padded((picture[..., ::-1], mask), 64)
        np.testing.assert_allclose(
            sketch(data.normalised(padded)), recorded[f"padded/{number}"], rtol=1e-5, atol=1e-4
        )
        np.testing.assert_allclose(
            sketch(padded_mask), recorded[f"padded_mask/{number}"], rtol=1e-12, atol=1e-12
        )


def test_the_consistency_loss_teaches_the_augmented_branch_alone_and_is_0_for_equal_ones():
    rng = np.random.default_rng(0)
    one, other = (paddle.to_tensor(rng.normal(0, 2, (2, 2, 3, 4)), stop_gradient=False) for _ in range(2))
    consistency_loss(one, other).backward()
    assert one.grad is not None and other.grad is None
    assert float(consistency_loss(one, one)) == 0


def test_losses_hold_where_logits_lie_far_apart():
    logits = paddle.to_tensor(np.array([200.0, -100.0]).reshape(1, 2, 1, 1))
    person = paddle.to_tensor(np.ones((1, 1, 1), np.int64))
    assert float(mask_loss(logits, person)) == 300
    assert float(edge_loss(logits, person)) == 300
    assert np.isfinite(float(consistency_loss(-logits, logits)))
