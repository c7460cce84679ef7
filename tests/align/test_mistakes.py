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


def said(
    port,
    reference,
    inputs,
    stages=("configuration", "forward"),
    optimizer=(None, None),
    loss=(F.cross_entropy, torch.nn.functional.cross_entropy),
    targets=LABELS,
):
    """The alignment of two models."""
    batch = {"inputs": (inputs,), "targets": (targets[: len(inputs)],)}
    sides = [
        Recipe(model=net, train_data=lambda: [batch], eval_data=lambda: [batch], optimizer=made,
               loss=lambda out, t, figure=figure: figure(out, t[0]))
        for net, figure, made in zip((port, reference), loss, optimizer, strict=True)
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


TF = torch.nn.functional
SHARES = RANDOM.random((3, 3)).astype("float32")
LOSSES = {
    "positive weight": (
        SHARES, F.binary_cross_entropy_with_logits,
        lambda o, t: TF.binary_cross_entropy_with_logits(o, t, pos_weight=torch.tensor([2.0, 1.0, 1.0], dtype=o.dtype)),
        "class_weight", "proven",
    ),
    "divergence of distributions": (
        SHARES, lambda o, t: F.kl_div(F.log_softmax(o), t),
        lambda o, t: TF.kl_div(o.log_softmax(-1), t, reduction="batchmean"),
        "reduction", "proven",
    ),
    "power of a margin": (
        LABELS, lambda o, t: F.multi_margin_loss(o, t, p=2), TF.multi_margin_loss, "loss_form", "surmised",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_settings_of_losses(name):
    targets, ours, theirs, cause, certainty = LOSSES[name]
    nets = [
        model(nn, lambda nn=nn: {"head": nn.Linear(8, 3)}, lambda s, x: s.head(x).mean(1)) for nn in (P, T)
    ]
    found = said(*nets, SEQUENCES, stages=("forward", "loss"), loss=(ours, theirs), targets=targets)
    assert told(found) == ("loss", "loss", cause, certainty)


FUNCTIONS = {
    "padding of patches": (lambda x: F.unfold(x, 3, 1, 1), lambda x: TF.unfold(x, 3), "padding"),
    "smoothing before shrinking": (
        lambda x: F.interpolate(x, size=[5, 5], mode="bilinear").flatten(2),
        lambda x: TF.interpolate(x, size=[5, 5], mode="bilinear", antialias=True).flatten(2), "interpolation_mode",
    ),
    "channels in the sum": (
        lambda x: F.local_response_norm(x, 5, alpha=0.1).flatten(2),
        lambda x: TF.local_response_norm(x, 3, alpha=0.1).flatten(2), "kernel_size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_settings_of_functions_are_called_what_they_are(name):
    ours, theirs, cause = FUNCTIONS[name]
    nets = [
        model(
            nn,
            lambda nn=nn: {"head": nn.Linear(3, 3)},
            lambda s, x, function=function: s.head(function(x)[:, :3].mean(-1)),
        )
        for nn, function in ((P, ours), (T, theirs))
    ]
    found = said(*nets, PICTURES)
    assert (found.first.stage, found.diagnosis.cause) == ("forward", cause)


def test_a_defect_of_paddles_log_softmax_is_named():
    def net(nn, log_softmax):
        return model(
            nn, lambda: {"head": nn.Linear(8, 3)}, lambda s, x: log_softmax(200.0 * s.head(x), -1).mean(1)
        )

    found = said(net(P, F.log_softmax), net(T, TF.log_softmax), SEQUENCES)
    assert told(found) == ("forward", "", "framework_defect", "proven")
    assert "logsumexp" in found.diagnosis.evidence
    around = net(P, lambda x, axis: x - paddle.logsumexp(x, axis, keepdim=True))
    assert said(around, net(T, TF.log_softmax), SEQUENCES).verdict == "aligned"


def test_a_defect_of_paddles_cross_entropy_is_named():
    nets = [
        model(nn, lambda nn=nn: {"head": nn.Linear(8, 3)}, lambda s, x: 300.0 * s.head(x).mean(1))
        for nn in (P, T)
    ]
    found = said(*nets, SEQUENCES, stages=("forward", "loss"))
    assert told(found) == ("loss", "loss", "framework_defect", "proven")


def test_what_is_not_trained_goes_before_the_decay_that_it_lacks():
    def net(nn, frozen):
        class Net(nn.Layer if nn is P else nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.head = nn.Linear(8, 4), nn.Linear(4, 3)
                if frozen:
                    self.first.weight.stop_gradient = True

            def forward(self, x):
                return self.head(0.0 * self.first(x)).mean(1)

        return Net

    found = said(
        net(P, True), net(T, False), SEQUENCES, stages=("configuration", "backward", "optimizer"),
        optimizer=(
            lambda m: (paddle.optimizer.AdamW(0.01, parameters=m.parameters(), weight_decay=0.05), None),
            lambda m: (torch.optim.AdamW(m.parameters(), 0.01, weight_decay=0.05), None),
        ),
    )  # fmt: skip
    assert told(found) == ("optimizer", "first.weight", "frozen", "proven")


def test_an_activation_that_changed_nothing_is_placed_all_the_same():
    def net(nn, names, layer):
        parts = lambda: dict(zip(names, (nn.Linear(8, 4), layer(), nn.Linear(4, 3)), strict=True))  # noqa: E731
        return model(nn, parts, lambda s, x: getattr(s, names[2])(
            getattr(s, names[1])(0.1 * getattr(s, names[0])(x))).mean(1))  # fmt: skip

    found = said(net(P, "abc", P.Hardtanh), net(T, "xyz", T.Tanh), SEQUENCES)
    assert told(found) == ("forward", "b", "activation", "proven")


OPTIMIZERS = {
    "nadam": (
        lambda m, decay=0.004, beta=0.9: paddle.optimizer.NAdam(
            0.02, beta, momentum_decay=decay, parameters=m
        ),
        lambda m: torch.optim.NAdam(m, 0.02),
    ),
    "radam": (
        lambda m, beta=0.9: paddle.optimizer.RAdam(0.02, beta, 0.6, parameters=m),
        lambda m: torch.optim.RAdam(m, 0.02, (0.9, 0.6)),
    ),
    "adagrad": (
        lambda m: paddle.optimizer.Adagrad(0.02, 1e-10, m),
        lambda m, decay=0.0: torch.optim.Adagrad(m, 0.02, lr_decay=decay),
    ),
    "rprop": (
        lambda m, etas=(0.5, 1.2), bounds=(1e-6, 50): paddle.optimizer.Rprop(0.02, bounds, m, etas),
        lambda m: torch.optim.Rprop(m, 0.02),
    ),
}


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "cause", "evidence"),
    [
        ("nadam", {}, {}, "", ""),
        ("nadam", {"decay": 0.1}, {}, "beta", "momentum decay 0.004 in place of 0.1"),
        ("nadam", {"beta": 0.8}, {}, "beta", "beta1 0.9 in place of 0.8"),
        ("radam", {}, {}, "", ""),
        ("radam", {"beta": 0.8}, {}, "beta", "beta1 0.9 in place of 0.8"),
        ("adagrad", {}, {"decay": 0.1}, "learning_rate", "decay of the learning rate 0.1 in place of 0"),
        ("rprop", {}, {}, "", ""),
        ("rprop", {"etas": (0.4, 1.2)}, {}, "learning_rate", "eta of a turned gradient 0.5 in place of 0.4"),
        ("rprop", {"etas": (0.5, 1.3)}, {}, "learning_rate", "eta of a steady gradient 1.2 in place of 1.3"),
        ("rprop", {"bounds": (9e-3, 50)}, {}, "learning_rate", "smallest step 1e-06 in place of 0.009"),
        ("rprop", {"bounds": (1e-6, 0.021)}, {}, "learning_rate", "the port's largest step is 0.021"),
    ],
)
def test_an_argument_of_an_optimizer(kind, ours, theirs, cause, evidence):
    port, reference = OPTIMIZERS[kind]
    found = said(
        lambda: P.Linear(8, 3), lambda: T.Linear(8, 3), SEQUENCES[:, 0], stages=("optimizer", "training_steps"),
        optimizer=(
            lambda m: port(m.parameters(), **ours),
            lambda m: reference(m.parameters(), **theirs),
        ),
    )  # fmt: skip
    assert found.verdict == ("diverged" if cause else "aligned")
    if cause:
        seen = "steps" in found.first.stage
        assert (found.diagnosis.cause, found.diagnosis.certainty) == (cause, "surmised" if seen else "proven")
        assert evidence in found.diagnosis.evidence


@pytest.mark.parametrize(
    ("ours", "theirs", "cause", "evidence"),
    [
        ((2, 3), (2, 3), "", ""),
        ((3, 3), (2, 3), "pool_kind", "norm_type=2 in place of 3"),
        ((2, 2, 3), (2, 3, 3), "kernel_size", "kernel_size=3 in place of 2"),
        ((2, 3, 2), (2, 3, 3), "stride", "stride=3 in place of 2"),
        ((2, 3, 2, 1), (2, 3, 2), "padding", "padding=0 in place of 1"),
        ((2, 4, 4, 0, True), (2, 4, 4, True), "framework_defect", "a window over the edge for a whole one"),
    ],
)
def test_an_argument_of_lp_pooling(ours, theirs, cause, evidence):
    def forward(m, x):
        return m.head(m.pool(m.conv(x) ** 2).mean((2, 3)))

    found = said(
        model(P, lambda: {"conv": P.Conv2D(3, 4, 3), "pool": P.LPPool2D(*ours), "head": P.Linear(4, 3)}, forward),
        model(T, lambda: {"conv": T.Conv2d(3, 4, 3), "pool": T.LPPool2d(*theirs), "head": T.Linear(4, 3)}, forward),
        PICTURES, stages=("configuration", "forward", "backward"),
    )  # fmt: skip
    assert found.verdict == ("diverged" if cause else "aligned")
    if cause:
        assert told(found) == ("forward", "pool", cause, "proven")
        assert evidence in found.diagnosis.evidence
