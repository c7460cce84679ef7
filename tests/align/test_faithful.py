"""Faithful ports that are easily called wrong: each is aligned, and with one mistake in it diverges."""

import copy

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

import torch

from fuxian.align import align
from fuxian.align.draws import Draws
from fuxian.recipe import Recipe

RANDOM = np.random.default_rng(5)
SEQUENCES = RANDOM.standard_normal((3, 5, 8)).astype("float32")
PICTURES = RANDOM.standard_normal((2, 3, 12, 12)).astype("float32")
LABELS = np.array([0, 1, 2])


def compared(port, reference, *, inputs=SEQUENCES, stages=("configuration", "forward", "backward"), **parts):
    """The alignment of two models on one batch; ``parts``: a pair of a recipe's parts, the port's first."""
    batch = {"inputs": (inputs,), "targets": (LABELS[: len(inputs)],)}
    sides = []
    for i, (model, cross_entropy) in enumerate(
        ((port, F.cross_entropy), (reference, torch.nn.functional.cross_entropy))
    ):
        own = {
            "train_data": lambda: [batch],
            "eval_data": lambda: [batch],
            "loss": lambda out, t, entropy=cross_entropy: entropy(out, t[0]),
            **{name: pair[i] for name, pair in parts.items()},
        }
        sides.append(Recipe(model=model, **own))
    return align(*sides, stages=stages)


SGD = (
    lambda m: (paddle.optimizer.SGD(0.1, parameters=m.parameters()), None),
    lambda m: (torch.optim.SGD(m.parameters(), lr=0.1), None),
)


def test_draws_follow_the_reference_into_another_order_of_the_axes():
    reference = Draws()
    heads, sequence = reference.uniform((6, 4, 7)), reference.uniform((5, 3, 8))
    port = Draws(like=reference.made)
    np.testing.assert_array_equal(port.uniform((2, 3, 4, 7)).reshape(6, 4, 7), heads)
    np.testing.assert_array_equal(port.uniform((3, 5, 8)).transpose(1, 0, 2), sequence)


class PaddleAttention(paddle.nn.Layer):
    def __init__(self, rate=0.2):
        super().__init__()
        self.attention = paddle.nn.MultiHeadAttention(8, 2, dropout=rate)
        self.head = paddle.nn.Linear(8, 3)

    def forward(self, x):
        return self.head(F.dropout(self.attention(x), 0.3, training=self.training).mean(1))


class TorchAttention(torch.nn.Module):
    """Time first, as torch has it by default."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(8, 2, dropout=0.2)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x):
        x = x.transpose(0, 1)
        y = torch.nn.functional.dropout(self.attention(x, x, x)[0], 0.3, self.training)
        return self.head(y.mean(0))


def test_attention_and_dropout_with_the_axes_in_another_order():
    stages = ("forward", "training_mode")
    assert compared(PaddleAttention, TorchAttention, stages=stages).verdict == "aligned"
    wrong = compared(lambda: PaddleAttention(0.1), TorchAttention, stages=stages)
    assert wrong.verdict == "diverged"
    assert wrong.first.stage == "training_mode"


class Averaging:
    """An optimizer that averages the whole state, running statistics too."""

    def averaged(self, model, decay):
        self.model, self.decay, self.updates = model, decay, 0
        model.held = [copy.deepcopy(model)]

    def moved(self, state, averaged):
        self.updates += 1
        decay = self.decay(self.updates)
        for name, value in averaged.items():
            if "num_batches" not in name:
                yield value, value * decay + state[name] * (1 - decay)


def test_a_moving_average_that_averages_running_statistics():
    class Port(paddle.optimizer.Momentum, Averaging):
        def __init__(self, model, decay):
            super().__init__(0.05, parameters=model.parameters())
            self.averaged(model, decay)

        @paddle.no_grad()
        def step(self):
            super().step()
            for value, now in self.moved(self.model.state_dict(), self.model.held[0].state_dict()):
                value.set_value(now)

    class Reference(torch.optim.SGD, Averaging):
        def __init__(self, model, decay):
            super().__init__(model.parameters(), lr=0.05, momentum=0.9)
            self.averaged(model, decay)

        @torch.no_grad()
        def step(self, closure=None):
            super().step()
            for value, now in self.moved(self.model.state_dict(), self.model.held[0].state_dict()):
                value.copy_(now)

    def net(nn, norm):
        return nn.Sequential(nn.Flatten(), nn.Linear(40, 6), norm(6), nn.ReLU(), nn.Linear(6, 3))

    def rising(t):
        return 0.99 * (1 - np.exp(-t / 20))

    def run(decay):
        return compared(
            lambda: net(paddle.nn, paddle.nn.BatchNorm1D),
            lambda: net(torch.nn, torch.nn.BatchNorm1d),
            stages=("training_steps",),
            optimizer=(lambda m: (Port(m, decay), None), lambda m: (Reference(m, rising), None)),
            evaluated=(lambda m: m.held[0], lambda m: m.held[0]),
        )

    assert run(rising).verdict == "aligned"
    wrong = run(lambda t: 0.99)
    assert (wrong.diagnosis.cause, wrong.diagnosis.certainty) == ("ema_decay", "proven")


def test_a_batch_norm_that_runs_twice_in_a_pass():
    def net(nn, norm, momentum):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                self.norm = norm(3, momentum=momentum)
                self.head = nn.Linear(3, 3)

            def forward(self, x):
                y = self.norm(self.norm(x)[:, :, ::2, ::2])
                return self.head(y.mean((2, 3)))

        return Net

    reference = net(torch.nn, torch.nn.BatchNorm2d, 0.01)
    for momentum, verdict in ((0.99, "aligned"), (0.9, "diverged")):
        port = net(paddle.nn, paddle.nn.BatchNorm2D, momentum)
        found = compared(port, reference, inputs=PICTURES, stages=("training_mode", "training_steps"))
        assert found.stage("training_mode").verdict == verdict


def test_random_buffers_are_no_constants():
    def net(nn, wrapped, conv):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = conv(3, 4, 3)
                if wrapped is not None:
                    self.conv = wrapped(self.conv)
                self.head = nn.Linear(4, 3)

            def forward(self, x):
                return self.head(self.conv(x).mean((2, 3)))

        return Net

    reference = net(torch.nn, torch.nn.utils.spectral_norm, torch.nn.Conv2d)
    port = net(paddle.nn, paddle.nn.utils.spectral_norm, paddle.nn.Conv2D)
    assert compared(port, reference, inputs=PICTURES).verdict == "aligned"
    bare = compared(net(paddle.nn, None, paddle.nn.Conv2D), reference, inputs=PICTURES)
    assert (bare.first.stage, bare.first.place) == ("configuration", "conv")
    assert (bare.diagnosis.cause, bare.diagnosis.certainty) == ("missing_module", "proven")
    assert "spectral_norm" in bare.diagnosis.evidence


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_a_seed_set_while_the_model_is_made(seed):
    def ours(std=0.3):
        paddle.seed(seed)
        weight = paddle.ParamAttr(initializer=paddle.nn.initializer.Normal(0.0, std))
        return paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Linear(40, 3, weight_attr=weight))

    def theirs():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 3))
        torch.nn.init.normal_(net[1].weight, std=0.3)
        torch.nn.init.zeros_(net[1].bias)
        return net

    parts = {"stages": ("initialisation",), "optimizer": SGD}
    assert compared(ours, theirs, **parts).verdict == "aligned"
    assert compared(lambda: ours(0.1), theirs, **parts).verdict == "diverged"


def test_initial_values_of_what_is_never_trained_are_noted_and_no_divergence():
    sides = (
        lambda: paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Linear(40, 3)),
        lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 3)),
    )
    stages = ("initialisation", "forward")
    noted = compared(*sides, stages=stages)
    assert (noted.verdict, noted.stage("initialisation").verdict) == ("aligned", "not given")
    assert any("1.weight and 1 more start from other values" in note for note in noted.notes)
    trained = compared(*sides, stages=stages, optimizer=SGD)
    assert (trained.first.stage, trained.first.place) == ("initialisation", "1.weight")


def test_parameters_with_fixed_names():
    def ours():
        names = [paddle.ParamAttr(name=name) for name in ("one", "two")]
        return paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Linear(40, 3, *names))

    def theirs():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 3))

    assert compared(ours, theirs).verdict == "aligned"


def test_a_gradient_that_is_exactly_zero_on_one_side():
    def net(nn, zero):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

            def forward(self, x):
                y = self.table(x)
                return self.head((x + zero(y)).mean(1))

        return Net

    # The port's gradient of the table is rounding noise, the reference's exactly zero.
    port = net(paddle.nn, lambda y: (y * 0.1) - y / 10.0)
    reference = net(torch.nn, lambda y: y * 0.0)
    assert compared(port, reference).verdict == "aligned"
    learns = net(paddle.nn, lambda y: 1e-6 * (y - y.detach()))
    assert compared(learns, reference).stage("backward").verdict == "diverged"


class Conv1D(torch.nn.Module):
    """A linear layer whose weight is [inputs, outputs], as Hugging Face has it in GPT-2."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(inputs, outputs))
        self.bias = torch.nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


@pytest.mark.parametrize("width", [3, 8])
def test_a_layer_of_the_references_own_that_lays_its_weight_out_the_other_way(width):
    """Whether it can be told by its shape (24, 3) or, where it is square, by what it computes alone."""

    def net(nn, layer, last):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                self.c_attn, self.proj, self.head = layer(8, 24), layer(8, width), last(width, 3)

            def forward(self, x):
                return self.head(self.proj(self.c_attn(x)[:, :, 8:16]).mean(1))

        return Net

    port = net(paddle.nn, paddle.nn.Linear, paddle.nn.Linear)
    assert compared(port, net(torch.nn, lambda a, b: Conv1D(b, a), torch.nn.Linear)).verdict == "aligned"


def test_layers_registered_out_of_the_order_in_which_they_run():
    def net(nn, names, conv):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                for name in sorted(names):
                    setattr(self, name, conv(3, 3, 1))
                self.head = nn.Linear(3, 3)

            def forward(self, x):
                for name in names:
                    x = getattr(self, name)(x)
                return self.head(x.mean((2, 3)))

        return Net

    port = net(paddle.nn, ("d", "b", "c", "a"), paddle.nn.Conv2D)
    reference = net(torch.nn, ("w", "x", "y", "z"), torch.nn.Conv2d)
    assert compared(port, reference, inputs=PICTURES).verdict == "aligned"


def test_one_layer_more_costs_no_other_layer():
    def net(nn, conv, norm, extra):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                made = [conv(3, 4, 3, padding=1), norm(4), nn.ReLU()]
                for i in range(4):
                    made += [conv(4, 4, 3, padding=1), norm(4), nn.ReLU()]
                    made += [conv(4, 4, 1)] if extra and i == 2 else []
                self.body, self.head = nn.Sequential(*made), nn.Linear(4, 3)

            def forward(self, x):
                return self.head(self.body(x).mean((2, 3)))

        return Net

    port = net(paddle.nn, paddle.nn.Conv2D, paddle.nn.BatchNorm2D, True)
    found = compared(port, net(torch.nn, torch.nn.Conv2d, torch.nn.BatchNorm2d, False), inputs=PICTURES)
    assert (found.first.stage, found.first.place) == ("configuration", "body.12")
    assert found.diagnosis.evidence.endswith("are in the port, and not in the reference")
    assert "body.12.weight" in found.diagnosis.evidence


def test_unused_statistics_of_a_norm_that_uses_the_batchs_alone():
    def net(nn, norm):
        return nn.Sequential(nn.Flatten(), nn.Linear(40, 6), norm(6), nn.ReLU(), nn.Linear(6, 3))

    def reference():
        return net(torch.nn, lambda n: torch.nn.BatchNorm1d(n, track_running_stats=False))

    faithful = compared(
        lambda: net(paddle.nn, lambda n: paddle.nn.BatchNorm1D(n, use_global_stats=False)), reference
    )
    assert [faithful.stage(name).verdict for name in ("configuration", "forward")] == ["aligned", "aligned"]
    assert (faithful.diagnosis.cause, faithful.diagnosis.certainty) == ("framework_defect", "proven")
    wrong = compared(lambda: net(paddle.nn, paddle.nn.BatchNorm1D), reference)
    assert (wrong.first.place, wrong.diagnosis.cause, wrong.diagnosis.certainty) == (
        "2", "bn_statistics", "proven",
    )  # fmt: skip


def test_the_table_of_modules_lays_side_by_side_what_corresponds():
    def ours():
        inner = paddle.nn.Sequential(paddle.nn.Linear(40, 6), paddle.nn.ReLU())
        return paddle.nn.Sequential(paddle.nn.Flatten(), inner, paddle.nn.Linear(6, 3))

    def theirs():
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(40, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
        )

    found = compared(ours, theirs)
    assert found.verdict == "aligned"
    rows = [(row.port, row.reference) for row in found.rows]
    assert rows == [
        ("(model): Sequential", "(model): Sequential"), ("0: Flatten", "0: Flatten"), ("1: Sequential", ""),
        ("0: Linear", "1: Linear"), ("1: ReLU", "2: ReLU"), ("2: Linear", "3: Linear"),
    ]  # fmt: skip
    assert {row.error for row in found.rows if row.port and row.reference} <= {0.0} | {
        row.error for row in found.rows if row.error is not None and row.error < 1e-9
    }


def test_another_width_is_the_headline_and_costs_no_other_layer():
    def net(nn, conv, width, names):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                sizes = [3, 4, width, 4]
                for name, a, b in zip(names, sizes, sizes[1:], strict=False):
                    setattr(self, name, conv(a, b, 1))
                self.head = nn.Linear(4, 3)

            def forward(self, x):
                for name in names:
                    x = getattr(self, name)(x)
                return self.head(x.mean((2, 3)))

        return Net

    port = net(paddle.nn, paddle.nn.Conv2D, 5, ("one", "two", "three"))
    reference = net(torch.nn, torch.nn.Conv2d, 6, ("a", "b", "c"))
    found = compared(port, reference, inputs=PICTURES)
    assert (found.first.stage, found.first.place, found.diagnosis.cause) == ("configuration", "two", "shape")
    assert found.first.reference_place == "b"
    assert "[5, 4, 1, 1] in place of [6, 4, 1, 1]" in found.diagnosis.evidence


def test_scales_and_shifts_that_the_port_alone_has_are_said_though_nothing_trains_them():
    def net(nn, norm, conv, activation):
        return nn.Sequential(conv(3, 8, 3), norm, activation(), nn.Flatten(), nn.Linear(800, 3))

    def reference():
        norm = torch.nn.GroupNorm(2, 8, affine=False)
        return net(torch.nn, norm, torch.nn.Conv2d, torch.nn.ReLU)

    def port(activation=paddle.nn.ReLU):
        fixed = paddle.ParamAttr(learning_rate=0.0)
        norm = paddle.nn.GroupNorm(2, 8, weight_attr=fixed, bias_attr=fixed)
        return net(paddle.nn, norm, paddle.nn.Conv2D, activation)

    found = compared(port, reference, inputs=PICTURES)
    assert (found.first.stage, found.first.place) == ("configuration", "1")
    assert (found.diagnosis.cause, found.diagnosis.certainty) == ("missing_affine", "proven")
    assert "1.weight, 1.bias are in the port, and not in the reference" in found.diagnosis.evidence
    # They explain nothing else.
    both = compared(lambda: port(paddle.nn.GELU), reference, inputs=PICTURES)
    assert (both.first.stage, both.first.place, both.diagnosis.cause) == ("forward", "2", "activation")


def test_the_workaround_of_group_norm_without_a_weight_is_aligned():
    class Norm(paddle.nn.Layer):
        def forward(self, x):
            return F.group_norm(x, 2, weight=paddle.ones([8], x.dtype))

    def port():
        return paddle.nn.Sequential(
            paddle.nn.Conv2D(3, 8, 3), Norm(), paddle.nn.Flatten(), paddle.nn.Linear(800, 3)
        )

    def reference():
        norm = torch.nn.GroupNorm(2, 8, affine=False)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), norm, torch.nn.Flatten(), torch.nn.Linear(800, 3)
        )

    assert compared(port, reference, inputs=PICTURES).verdict == "aligned"


def linear(nn):
    return nn.Sequential(nn.Flatten(), nn.Linear(40, 3))


def entropy(nn, factor):
    functional = F if nn is paddle.nn else torch.nn.functional
    return lambda out, t: functional.cross_entropy(out, t[0]) * factor


def test_a_constant_that_one_side_holds_in_float32():
    sides = (lambda: linear(paddle.nn)), (lambda: linear(torch.nn))
    for factor, verdict in (
        (np.float32(0.1), "aligned"),
        (paddle.to_tensor(np.float32(0.1)), "aligned"),
        (paddle.to_tensor(np.float32(0.1 + 1e-6)), "diverged"),
    ):
        losses = entropy(paddle.nn, factor), entropy(torch.nn, 0.1)
        assert compared(*sides, stages=("loss", "backward"), loss=losses).verdict == verdict
    losses = entropy(paddle.nn, 0.1), entropy(torch.nn, torch.tensor(0.1))
    assert compared(*sides, loss=losses).verdict == "aligned"


@pytest.mark.parametrize("momentum", [0.9, 0.8])
def test_running_statistics_of_batches_of_other_sizes(momentum):
    def net(nn, conv, norm, momentum):
        class Net(nn.Layer if nn is paddle.nn else nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.norm = conv(3, 6, 3), norm(6, momentum=momentum)
                self.head = nn.Linear(6, 3)

            def forward(self, x):
                return self.head(self.norm(self.conv(x)).mean((2, 3)))

        return Net

    batches = [
        {
            "inputs": (RANDOM.standard_normal((n, 3, size, size)).astype("float32"),),
            "targets": (LABELS[:n],),
        }
        for n, size in ((3, 8), (2, 4), (3, 12), (2, 8))
    ]
    found = compared(
        net(paddle.nn, paddle.nn.Conv2D, paddle.nn.BatchNorm2D, momentum),
        net(torch.nn, torch.nn.Conv2d, torch.nn.BatchNorm2d, 0.1),
        stages=("training_mode", "training_steps"), optimizer=SGD,
        train_data=(lambda: batches, lambda: batches),
    )  # fmt: skip
    assert found.stage("training_steps").verdict == ("aligned" if momentum == 0.9 else "diverged")


@pytest.mark.parametrize(("decay", "cause"), [(0.05, None), (0.01, "weight_decay")])
def test_decay_of_a_weight_that_the_reference_holds_fused(decay, cause):
    class Ours(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.attention, self.head = paddle.nn.MultiHeadAttention(8, 2), paddle.nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.attention(x).mean(1))

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.attention(x, x, x)[0].mean(1))

    found = compared(
        Ours, Theirs, stages=("optimizer", "regularisation"),
        optimizer=(
            lambda m: (paddle.optimizer.AdamW(0.01, parameters=m.parameters(), weight_decay=decay), None),
            lambda m: (torch.optim.AdamW(m.parameters(), 0.01, weight_decay=0.05), None),
        ),
    )  # fmt: skip
    assert found.verdict == ("aligned" if cause is None else "diverged")
    if cause is not None:
        assert (found.diagnosis.cause, found.diagnosis.certainty) == (cause, "proven")


def deep(library, norm):
    """Ten norms over three rows: what float32 rounds off grows a thousandfold in each training step."""
    layers = [library.nn.Linear(8, 32)]
    for _ in range(9):
        layers += [norm(32), library.nn.ReLU(), library.nn.Linear(32, 32)]
    return library.nn.Sequential(*layers, norm(32), library.nn.Linear(32, 3))


@pytest.mark.parametrize(("momentum", "verdict"), [(0.9, "aligned"), (0.8, "diverged")])
def test_training_in_which_float32_loses_itself(momentum, verdict):
    def model():
        return deep(paddle, lambda width: paddle.nn.BatchNorm1D(width, momentum=momentum))

    result = compared(
        model, lambda: deep(torch, torch.nn.BatchNorm1d), inputs=SEQUENCES[:, 0], stages=("training_steps",),
        optimizer=SGD,
    )  # fmt: skip
    assert result.verdict == verdict
    if verdict == "aligned":
        assert "were not compared: there the reference in float32 is" in result.stages[0].notes[0]


def test_a_loss_that_training_drives_beyond_what_cross_entropy_computes():
    """A large first step over one example under three labels makes two of its losses larger than 64."""
    rates = (
        lambda m: paddle.optimizer.SGD(500.0, parameters=m.parameters()),
        lambda m: torch.optim.SGD(m.parameters(), lr=500.0),
    )
    found = compared(
        lambda: paddle.nn.Linear(8, 3), lambda: torch.nn.Linear(8, 3), inputs=SEQUENCES[[0, 0, 0], 0],
        stages=("loss", "training_mode", "training_steps"), optimizer=rates,
    )  # fmt: skip
    assert [stage.verdict for stage in found.stages] == ["aligned", "aligned", "diverged"]
    assert found.diagnosis.cause == "framework_defect"
    assert "the loss alone differs" in found.diagnosis.evidence


def test_a_table_of_indices_that_the_port_alone_registers():
    class Port(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.head = paddle.nn.Linear(8, 3)
            self.register_buffer("order", paddle.to_tensor([2, 0, 1]))

        def forward(self, x):
            return paddle.index_select(self.head(x), self.order, axis=1)

    class Reference(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(8, 3)

        def forward(self, x):
            return self.head(x)[:, [2, 0, 1]]

    assert compared(Port, Reference, inputs=SEQUENCES[:, 0]).verdict == "aligned"
