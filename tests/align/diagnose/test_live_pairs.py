"""Causes and places of planted mistakes, found live in one small network whose forward pass is the case's own."""

import numpy as np
import paddle
import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

import torch

from fuxian.align import align
from fuxian.recipe import Recipe

X = np.random.default_rng(7).standard_normal((4, 6)).astype("float32")
SEQUENCES = np.random.default_rng(8).standard_normal((4, 5, 6)).astype("float32")
BATCH = {"inputs": (X, SEQUENCES), "targets": (np.ones((4, 6), "float32"),)}


class TorchInner(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 1.5, 6))
        self.skip = True

    def forward(self, x):
        y = torch.tanh(x) * self.weight
        return y + x if self.skip else y


class PaddleInner(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([6])
        self.skip = True

    def forward(self, x):
        y = paddle.tanh(x) * self.weight
        return y + x if self.skip else y


def network(nn, inner, forward):
    """A network of either framework that runs ``forward(self, x, sequences)``."""
    recurrent = {} if nn is paddle.nn else {"batch_first": True}

    class Net(nn.Layer if nn is paddle.nn else nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
            self.gru = nn.GRU(6, 6, **recurrent)
            self.inner = inner()
            conv = nn.Conv1D if nn is paddle.nn else nn.Conv1d
            self.conv = conv(6, 6, 2)
            self.blocks = (nn.LayerList if nn is paddle.nn else nn.ModuleList)(
                [nn.Linear(6, 6) for _ in range(3)]
            )

        def forward(self, x, sequences):
            return forward(self, x, sequences)

    return Net


def found(ours, theirs, stage="forward", losses=(None, None)):
    """The first divergence and the diagnosis of a port's forward pass beside the reference's."""
    sides = [
        Recipe(model=network(nn, inner, forward), eval_data=lambda: [BATCH], loss=loss)
        for nn, inner, forward, loss in (
            (paddle.nn, PaddleInner, ours, losses[0]),
            (torch.nn, TorchInner, theirs, losses[1]),
        )
    ]
    alignment = align(*sides, stages=(stage,))
    assert alignment.first is not None
    return alignment.first, alignment.diagnosis


def test_a_summand_left_out_before_an_activation():
    first, diagnosis = found(
        lambda s, x, _: s.c(paddle.tanh(s.a(x))), lambda s, x, _: s.c(torch.tanh(s.a(x) + s.b(x)))
    )
    assert (first.place, diagnosis.cause) == ("", "missing_module")
    assert "linear" in diagnosis.evidence


def test_the_first_step_of_a_recurrent_output_for_the_last_state():
    _, diagnosis = found(lambda s, _, y: s.c(s.gru(y)[0][:, 0]), lambda s, _, y: s.c(s.gru(y)[1][-1]))
    assert diagnosis.cause == "wrong_input"


def test_a_product_with_one_for_a_product_with_a_half():
    _, diagnosis = found(
        lambda s, x, _: s.c(paddle.exp(1.0 * s.a(x))), lambda s, x, _: s.c(torch.exp(0.5 * s.a(x)))
    )
    assert diagnosis.cause == "scale_factor"
    assert "multiplies by 1," in diagnosis.evidence and "multiplies by 0.5" in diagnosis.evidence


def test_what_the_loss_forms_again_is_not_what_the_model_should_have_formed():
    def loss(exp):
        return lambda outputs, targets: (exp(outputs["log"]) * outputs["y"]).mean()

    def forward(exp, factor):
        def run(s, x, _):
            v = s.a(x)
            return {"y": s.c(exp(factor * v)), "log": v}

        return run

    _, diagnosis = found(
        forward(paddle.exp, 1.0), forward(torch.exp, 0.5), losses=(loss(paddle.exp), loss(torch.exp))
    )
    assert diagnosis.cause == "scale_factor"


def test_a_channel_shuffle_left_out():
    def shuffled(s, _, y):
        z = s.a(y)
        return s.c(z.view(4, 5, 2, 3).transpose(2, 3).reshape(4, 5, 6))

    first, diagnosis = found(lambda s, _, y: s.c(s.a(y)), shuffled)
    assert (first.place, diagnosis.cause) == ("", "permutation")


def test_padding_on_the_other_end():
    _, diagnosis = found(
        lambda s, _, y: s.conv(paddle.nn.functional.pad(y.transpose([0, 2, 1]), [0, 1], data_format="NCL")),
        lambda s, _, y: s.conv(torch.nn.functional.pad(y.transpose(1, 2), (1, 0))),
    )
    assert diagnosis.cause == "padding"
    assert "0 and 1" in diagnosis.evidence and "1 and 0" in diagnosis.evidence


def looped(rounds, tanh, after):
    """Rounds of one line, then another layer or the same one on another input."""

    def run(s, x, y):
        weight = s.inner.weight
        for _ in range(rounds):
            weight = weight - 0.1 * tanh(x * weight).mean(0)
        return s.b(tanh(x * weight)) if after else tanh(y[:, 0] * weight)

    return run


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize(("mine", "other", "cause"), [(2, 3, "missing_module"), (3, 2, "extra_module")])
def test_a_round_of_a_loop_left_out_or_added(after, mine, other, cause):
    _, diagnosis = found(looped(mine, paddle.tanh, after), looped(other, torch.tanh, after))
    assert diagnosis.cause == cause


def test_a_layer_called_once_more_on_one_side_is_no_other_order():
    def run(rounds, tanh):
        def forward(s, x, _):
            for _ in range(rounds):
                x = tanh(s.a(x))
            return tanh(s.b(x))

        return forward

    _, diagnosis = found(run(1, paddle.tanh), run(2, torch.tanh))
    assert diagnosis.cause == "missing_module"


def test_weights_taken_before_their_update():
    def stepped(tanh, stale):
        def run(s, x, _):
            step = tanh(x).mean(0)
            once = s.inner.weight - 0.5 * step
            return tanh(x * once) * ((s.inner.weight if stale else once) - 0.25 * step)

        return run

    _, diagnosis = found(stepped(paddle.tanh, True), stepped(torch.tanh, False))
    assert diagnosis.cause == "wrong_input"
    assert "parameters.inner.weight" in diagnosis.evidence


def test_a_call_in_a_list_of_modules_belongs_to_the_module_that_runs_them():
    def summed(first):
        def run(s, x, _):
            total = 0
            for block in list(s.blocks)[first:]:
                total = total + block(x)
            return s.c(total)

        return run

    first, diagnosis = found(summed(1), summed(0))
    assert (first.place, diagnosis.cause) == ("", "missing_module")


def test_a_residual_that_an_inner_module_lacks_is_its_own():
    def forward(skip):
        def run(s, x, _):
            s.inner.skip = skip
            z = s.a(x)
            return (z + s.b(x) + s.c(s.inner(z))) if skip else (s.b(x) + z + s.c(s.inner(z)))

        return run

    first, diagnosis = found(forward(False), forward(True))
    assert (first.place, diagnosis.cause) == ("inner", "residual")


def test_a_transposed_operand_that_the_loss_transposes_too():
    def loss(turn):
        return lambda outputs, targets: (turn(outputs["m"]) @ outputs["m"]).mean() + outputs["y"].mean()

    def forward(turn):
        def run(s, x, y):
            m = s.a(y)[:, :, :5]
            return {"y": turn(m) @ s.c(y), "m": m}

        return run

    _, diagnosis = found(
        forward(lambda m: m.transpose([0, 2, 1])),
        forward(lambda m: m),
        losses=(loss(lambda m: m.transpose([0, 2, 1])), loss(lambda m: m.transpose(1, 2))),
    )
    assert diagnosis.cause == "permutation"


def test_a_mean_for_a_sum_in_a_part_of_the_loss():
    def summed(outputs, targets):
        return {"total": outputs.mean(), "part": -0.5 * (1 + outputs - outputs**2).sum(1).mean()}

    def averaged(outputs, targets):
        return {"total": outputs.mean(), "part": (-0.5 * (1 + outputs - outputs**2)).mean()}

    first, diagnosis = found(*[lambda s, x, _: s.a(x)] * 2, stage="loss", losses=(averaged, summed))
    assert (first.place, diagnosis.cause) == ("part", "reduction")
    assert "1/6 of the reference's" in diagnosis.evidence


def test_other_places_of_one_tensor():
    _, diagnosis = found(lambda s, _, y: s.c(y[:, 0:].mean(1)), lambda s, _, y: s.c(y[:, 2:].mean(1)))
    assert diagnosis.cause == "index_offset"
    assert "0:None" in diagnosis.evidence and "2:None" in diagnosis.evidence
