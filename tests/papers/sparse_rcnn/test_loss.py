"""The set loss: who is matched, what counts, and that nothing breaks where there are no objects or too many."""

import numpy as np
import paddle
import pytest

from fuxian.papers.sparse_rcnn import boxes
from fuxian.papers.sparse_rcnn.loss import loss, matched
from fuxian.papers.sparse_rcnn.model import Network, SparseRCNN, level_of, pool

SMALL = Network(
    classes=4, depth=18, width=4, norm="batch", frozen=0, proposals=6, hidden=8, stages=2,
    attention_heads=2, feedforward=8, dynamic=4,
)  # fmt: skip


def drawn_boxes(count, seed=0, side=100.0):
    low = np.random.default_rng(seed).uniform(0, side / 2, (count, 2))
    return np.concatenate([low, low + np.random.default_rng(seed + 1).uniform(5, side / 2, (count, 2))], 1)


def test_a_pairs_giou_is_that_of_all_pairs():
    a, b = drawn_boxes(7, 1), drawn_boxes(7, 5)
    every = boxes.pairwise_giou(a, b)
    np.testing.assert_allclose(
        boxes.giou(paddle.to_tensor(a), paddle.to_tensor(b)).numpy(), np.diagonal(every), rtol=1e-12
    )
    far = boxes.pairwise_giou(np.array([[0.0, 0, 1, 1]]), np.array([[9.0, 0, 10, 1], [0, 0, 1, 1]]))
    np.testing.assert_allclose(far, [[-0.8, 1.0]])


def test_the_best_proposal_of_each_object_is_matched_once():
    true = drawn_boxes(3)
    found = np.concatenate([drawn_boxes(4, 9), true[::-1] + 0.5])
    proposals, objects = matched(np.zeros((7, 4)), found, true, np.array([0, 1, 3]), np.array([100.0, 100]))
    assert dict(zip(objects.tolist(), proposals.tolist(), strict=True)) == {0: 6, 1: 5, 2: 4}
    # The class decides between boxes that are alike.
    logits = np.full((2, 4), -3.0)
    logits[1, 2] = 3
    same = np.stack([true[0], true[0]])
    assert matched(logits, same, true[:1], np.array([2]), np.array([100.0, 100]))[0].tolist() == [1]


def outputs(pictures, proposals=6):
    rng = np.random.default_rng(0)
    found = np.stack([drawn_boxes(proposals, 50 + seed) for seed in range(2 * pictures)])
    made = rng.normal(-2, 1, (2, pictures, proposals, 4)), found.reshape(2, pictures, proposals, 4)
    return tuple(paddle.to_tensor(one.astype(np.float32), stop_gradient=False) for one in made)


def targets(*counts):
    most = max(1, *counts)
    true, kinds = np.zeros((len(counts), most, 4), np.float32), np.full((len(counts), most), -1)
    for picture, count in enumerate(counts):
        true[picture, :count], kinds[picture, :count] = drawn_boxes(count, picture), np.arange(count) % 4
    return tuple(map(paddle.to_tensor, (true, kinds, np.full((len(counts), 2), 100, np.float32))))


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (3, 5), (500, 1)], ids=str)
def test_empty_pictures_one_box_and_more_boxes_than_proposals_have_a_finite_gradient(counts):
    found = outputs(2)
    losses = loss(found, targets(*counts))
    losses["total"].backward()
    parts = [float(value) for name, value in losses.items() if name != "total"]
    assert len(parts) == 2 * 3 and float(losses["total"]) == pytest.approx(sum(parts), rel=1e-5)
    for one in found:
        assert np.isfinite(one.grad.numpy()).all()
    moved = np.abs(found[1].grad.numpy()).sum(-1) > 0
    assert moved.sum((0, 2)).tolist() == [2 * min(count, 6) for count in counts]


def test_a_stages_loss_is_that_of_its_boxes_alone():
    found, wanted = outputs(2), targets(2, 3)
    whole = loss(found, wanted)
    last = loss((found[0][1:], found[1][1:]), wanted)
    for name in ("class", "l1", "giou"):
        assert float(whole[f"{name}_2"]) == pytest.approx(float(last[f"{name}_1"]), rel=1e-6)


def test_costs_that_are_no_numbers_give_a_loss_that_is_none():
    logits, found = outputs(1)
    broken = loss((logits, found * np.nan), targets(2))
    assert not np.isfinite(float(broken["total"]))


def test_levels_are_those_of_detectron2():
    sides = np.array([1e-3, 10, 111.9, 112.0, 223.9, 224.0, 447.9, 448.0, 5000.0])
    squares = np.stack([0 * sides, 0 * sides, sides, sides], 1)
    wanted = np.clip(np.floor(4 + np.log2(sides / 224 + 1e-8)), 2, 5) - 2
    assert level_of(paddle.to_tensor(squares[None]))[0].numpy().tolist() == wanted.tolist()


def test_boxes_that_are_no_numbers_do_not_break_the_pooling():
    model = SparseRCNN(SMALL)
    weight = model.init_proposal_boxes.weight
    weight.set_value(np.where(np.arange(6)[:, None] == 2, np.nan, weight.numpy()).astype(np.float32))
    logits, found = model(paddle.zeros([1, 3, 64, 64]), paddle.full([1, 2], 64.0))
    assert np.isnan(found.numpy()[0, 0, 2]).all() and np.isfinite(found.numpy()[0, 0, 1]).all()
    assert logits.shape == [2, 1, 6, 4]


def test_the_beginning_is_the_official_one_without_its_trap():
    """The official code gives every parameter whose last side is the number of classes the classes' bias; here, with
    four classes, that would be the boxes' layer too."""
    paddle.seed(0)
    model = SparseRCNN(SMALL)
    np.testing.assert_allclose(model.init_proposal_boxes.weight.numpy(), np.tile([0.5, 0.5, 1, 1], (6, 1)))
    first, second = model.head.head_series
    np.testing.assert_allclose(first.class_logits.bias.numpy(), -np.log(99), rtol=1e-6)
    assert np.abs(first.bboxes_delta.weight.numpy()).max() <= np.sqrt(6 / (8 + 4))
    np.testing.assert_array_equal(first.bboxes_delta.bias.numpy(), second.bboxes_delta.bias.numpy())
    assert not np.array_equal(first.linear1.weight.numpy(), second.linear1.weight.numpy())
    attention = first.self_attn.q_proj.weight.numpy()
    assert 0.8 * np.sqrt(6 / 32) < np.abs(attention).max() <= np.sqrt(6 / 32)


def test_the_pooling_and_its_gradient_are_one_linear_map_for_thin_boxes_too():
    """<gradient, map> = <weights, pooled>, whatever the boxes: thin ones, beyond the picture, of every level."""
    rng = np.random.default_rng(0)
    maps = [
        paddle.to_tensor(rng.standard_normal((2, 3, 64 // s, 96 // s)), stop_gradient=False)
        for s in (4, 8, 16, 32)
    ]
    low = rng.uniform(-40, 90, (2, 40, 2))
    size = np.exp(rng.uniform(np.log(0.1), np.log(900), (2, 40, 2)))
    size[:, :10] = rng.uniform(0.1, 3, (2, 10, 2))
    found = paddle.to_tensor(np.concatenate([low, low + size], -1))
    assert set(np.unique(level_of(found).numpy())) == {0, 1, 2, 3}
    weights = rng.standard_normal((80, 3, 7, 7))
    pooled = pool(maps, found, trained=True)
    np.testing.assert_allclose(pooled.numpy(), pool(maps, found).numpy(), atol=1e-12)
    whole = (pooled * paddle.to_tensor(weights)).sum()
    whole.backward()
    again = sum(float((one.grad * one).sum()) for one in maps)
    assert again == pytest.approx(float(whole), rel=1e-10)
