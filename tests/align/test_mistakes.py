"""Ports with one mistake, and what is said of each: stage, place, cause and how sure it is."""

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

import torch

from fuxian.align import align
from fuxian.recipe import Recipe

P, T = paddle.nn, torch.nn
RANDOM = np.random.default_rng(7)
SEQUENCES = RANDOM.standard_normal((3, 5, 8)).astype("float32")
PICTURES = RANDOM.standard_normal((2, 3, 12, 12)).astype("float32")
LABELS = np.array([0, 1, 2])


def model(nn, parts, forward):
    """A model of either framework from its layers by name."""

    class Net(nn.Layer if nn is P else nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts().items():
                setattr(self, name, part)

        def forward(self, x):
            return forward(self, x)

    return Net


def said(port, reference, inputs, stages=("configuration", "forward"), optimizer=(None, None)):
    """The alignment of two models."""
    batch = {"inputs": (inputs,), "targets": (LABELS[: len(inputs)],)}
    sides = [
        Recipe(model=net, train_data=lambda: [batch], eval_data=lambda: [batch], optimizer=made,
               loss=lambda out, t, entropy=functional.cross_entropy: entropy(out, t[0]))
        for net, functional, made in zip((port, reference), (F, torch.nn.functional), optimizer, strict=True)
    ]  # fmt: skip
    return align(*sides, stages=stages)


def told(found):
    return found.first.stage, found.first.place, found.diagnosis.cause, found.diagnosis.certainty


@pytest.mark.parametrize(
    ("norm", "activation", "place", "cause"),
    [(False, True, "body.1", "missing_affine"), (True, False, "body.0", "missing_bias")],
)
def test_a_parameter_that_the_port_lacks_is_placed_though_its_modules_have_other_names(
    norm, activation, place, cause
):
    def ours():
        conv = P.Conv2D(3, 4, 3, bias_attr=None if activation else False)
        made = P.BatchNorm2D(4, weight_attr=None if norm else False, bias_attr=None if norm else False)
        return P.Sequential(conv, made)

    port = model(
        P, lambda: {"body": ours(), "head": P.Linear(4, 3)}, lambda s, x: s.head(s.body(x).mean((2, 3)))
    )
    reference = model(
        T, lambda: {"conv": T.Conv2d(3, 4, 3), "bn": T.BatchNorm2d(4), "head": T.Linear(4, 3)},
        lambda s, x: s.head(s.bn(s.conv(x)).mean((2, 3))),
    )  # fmt: skip
    assert told(said(port, reference, PICTURES))[1:] == (place, cause, "proven")


def test_a_mistake_before_one_of_paddles_attentions_is_placed_where_it_is():
    def parts(nn, attention):
        return lambda: {"first": nn.Linear(8, 8), "attention": attention(), "head": nn.Linear(8, 3)}

    def port(activation):
        return model(P, parts(P, lambda: P.MultiHeadAttention(8, 2)),
                     lambda s, x: s.head(s.attention(activation(s.first(x))).mean(1)))  # fmt: skip

    def attend(s, x):
        y = torch.nn.functional.hardswish(s.first(x))
        return s.head(s.attention(y, y, y)[0].mean(1))

    reference = model(T, parts(T, lambda: T.MultiheadAttention(8, 2, batch_first=True)), attend)
    assert said(port(F.hardswish), reference, SEQUENCES).verdict == "aligned"
    found = said(port(F.selu), reference, SEQUENCES)
    assert told(found) == ("forward", "", "activation", "proven")
    assert found.first.port.call.operation == "selu"


def test_another_dropout_inside_a_block_of_the_frameworks_own():
    def port(rate):
        block = lambda: P.TransformerEncoderLayer(8, 2, 16, dropout=rate)  # noqa: E731
        return model(
            P, lambda: {"block": block(), "head": P.Linear(8, 3)}, lambda s, x: s.head(s.block(x).mean(1))
        )

    reference = model(
        T, lambda: {"block": T.TransformerEncoderLayer(8, 2, 16, 0.2, batch_first=True), "head": T.Linear(8, 3)},
        lambda s, x: s.head(s.block(x).mean(1)),
    )  # fmt: skip
    found = said(port(0.1), reference, SEQUENCES, stages=("forward", "training_mode"))
    assert told(found) == ("training_mode", "block.self_attn", "dropout_rate", "surmised")


def test_another_axis_of_a_convolutions_weight_norm():
    def net(nn, conv, norm, axis):
        return model(nn, lambda: {"conv": norm(conv(3, 3, 3), dim=axis), "head": nn.Linear(3, 3)},
                     lambda s, x: s.head(s.conv(x).mean((2, 3))))  # fmt: skip

    reference = net(T, T.Conv2d, T.utils.weight_norm, 0)
    assert said(net(P, P.Conv2D, P.utils.weight_norm, 0), reference, PICTURES).verdict == "aligned"
    found = said(net(P, P.Conv2D, P.utils.weight_norm, 1), reference, PICTURES)
    assert told(found) == ("forward", "conv", "normalised_axes", "proven")


@pytest.mark.parametrize("rate", [0.1, 0.03])
def test_steps_that_an_optimizer_makes_of_rounding_noise(rate):
    """Attention's key bias, and a bias before batch normalisation, which moves the running mean."""

    def attend(nn):
        def forward(s, x):
            y = s.attention(x) if nn is P else s.attention(x, x, x)[0]
            return s.head(s.norm(s.first(y).mean(1)))

        return forward

    def parts(nn, attention):
        return lambda: {
            "attention": attention(),
            "first": nn.Linear(8, 6),
            "norm": nn.BatchNorm1D(6) if nn is P else nn.BatchNorm1d(6),
            "head": nn.Linear(6, 3),
        }

    port = model(P, parts(P, lambda: P.MultiHeadAttention(8, 2)), attend(P))
    reference = model(T, parts(T, lambda: T.MultiheadAttention(8, 2, batch_first=True)), attend(T))
    found = said(
        port, reference, SEQUENCES, stages=("training_mode", "optimizer", "training_steps"),
        optimizer=(
            lambda m: (paddle.optimizer.Adam(rate, parameters=m.parameters()), None),
            lambda m: (torch.optim.Adam(m.parameters(), 0.1), None),
        ),
    )  # fmt: skip
    verdict = "aligned" if rate == 0.1 else "diverged"
    assert found.stage("training_steps").verdict == verdict
