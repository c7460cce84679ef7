"""Parameters drawn as PyTorch initialises the counterpart: against the bounds that its documentation states."""

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from fuxian.errors import InputError
from fuxian.paddle_init import like_torch

CASES = {
    "Linear": (lambda: nn.Linear(400, 300), 400),
    "Conv1D": (lambda: nn.Conv1D(60, 90, 5), 60 * 5),
    "Conv2D": (lambda: nn.Conv2D(24, 90, (3, 5)), 24 * 15),
    "Conv2D by groups": (lambda: nn.Conv2D(24, 96, 3, groups=4), 24 // 4 * 9),
    "Conv3D": (lambda: nn.Conv3D(8, 90, 3), 8 * 27),
    "Conv1DTranspose": (lambda: nn.Conv1DTranspose(90, 60, 5), 60 * 5),
    "Conv2DTranspose": (lambda: nn.Conv2DTranspose(90, 24, 3), 24 * 9),
    "Conv2DTranspose by groups": (lambda: nn.Conv2DTranspose(96, 24, 3, groups=4), 24 // 4 * 9),
    "Conv3DTranspose": (lambda: nn.Conv3DTranspose(60, 8, 3), 8 * 27),
    "Bilinear": (lambda: nn.Bilinear(50, 40, 30), 50),
    "LSTM": (lambda: nn.LSTM(30, 64, num_layers=2, direction="bidirect"), 64),
    "GRU": (lambda: nn.GRU(30, 64), 64),
    "SimpleRNN": (lambda: nn.SimpleRNN(30, 64), 64),
    "LSTMCell": (lambda: nn.LSTMCell(30, 64), 64),
}


def assert_uniform(values, edge):
    """Within the bounds, up to them, and with the spread of a uniform distribution."""
    values = np.asarray(values, np.float64).ravel()
    assert np.abs(values).max() <= edge * (1 + 1e-6)
    if values.size > 200:
        assert np.abs(values).max() > 0.97 * edge
        assert values.std() == pytest.approx(edge / math.sqrt(3), rel=5 / math.sqrt(values.size))
        assert abs(values.mean()) < 5 * edge / math.sqrt(3 * values.size)


@pytest.mark.parametrize("name", CASES)
def test_weights_and_biases_have_the_documented_bounds(name):
    make, fan_in = CASES[name]
    paddle.seed(7)
    layer = make()
    before = {key: parameter.numpy().copy() for key, parameter in layer.named_parameters()}
    assert like_torch(layer) == []
    for key, parameter in layer.named_parameters():
        assert (parameter.numpy() != before[key]).any(), key
        assert_uniform(parameter.numpy(), 1 / math.sqrt(fan_in))


@pytest.mark.parametrize(
    "name", ["Linear", "Conv2D by groups", "Conv2DTranspose by groups", "Bilinear", "GRU"]
)
def test_torch_itself_keeps_to_the_same_bounds(name):
    torch = pytest.importorskip("torch")
    theirs = {
        "Linear": lambda: torch.nn.Linear(400, 300),
        "Conv2D by groups": lambda: torch.nn.Conv2d(24, 96, 3, groups=4),
        "Conv2DTranspose by groups": lambda: torch.nn.ConvTranspose2d(96, 24, 3, groups=4),
        "Bilinear": lambda: torch.nn.Bilinear(50, 40, 30),
        "GRU": lambda: torch.nn.GRU(30, 64),
    }[name]()
    for parameter in theirs.parameters():
        assert_uniform(parameter.detach().numpy(), 1 / math.sqrt(CASES[name][1]))


def test_an_embedding_is_normal_and_its_padding_zero():
    paddle.seed(7)
    layer = nn.Embedding(500, 20, padding_idx=3)
    assert like_torch(layer) == []
    weight = layer.weight.numpy()
    assert (weight[3] == 0).all()
    rest = np.delete(weight, 3, axis=0)
    assert rest.std() == pytest.approx(1, rel=0.03) and abs(rest.mean()) < 0.05


def test_attention_has_xaviers_bounds_and_no_biases():
    layer = nn.MultiHeadAttention(32, 4)
    assert like_torch(layer) == []
    for projection in (layer.q_proj, layer.k_proj, layer.v_proj):
        assert_uniform(projection.weight.numpy(), math.sqrt(6 / 128))
    assert_uniform(layer.out_proj.weight.numpy(), 1 / math.sqrt(32))
    assert all(
        (p.bias.numpy() == 0).all() for p in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj)
    )


class Own(nn.Layer):
    def __init__(self):
        super().__init__()
        self.table = self.create_parameter([3, 4])
        self.body = nn.Sequential(nn.Conv2D(3, 8, 3), nn.BatchNorm2D(8), nn.PReLU())


def test_what_has_no_counterpart_is_left_and_named():
    model = Own()
    before = model.table.numpy().copy()
    assert like_torch(model) == ["table"]
    assert (model.table.numpy() == before).all()
    assert (model.body[1].weight.numpy() == 1).all()


def test_the_same_seed_draws_the_same_and_the_model_computes_with_it():
    drawn = []
    for _ in range(2):
        paddle.seed(3)
        model = nn.LSTM(4, 5)
        like_torch(model)
        drawn.append(model(paddle.ones([1, 2, 4]))[0].numpy())
    assert (drawn[0] == drawn[1]).all()
    for parameter in model.parameters():
        parameter.set_value(paddle.zeros_like(parameter))
    assert (model(paddle.ones([1, 2, 4]))[0].numpy() == 0).all()


def test_no_layer_is_bad_input():
    with pytest.raises(InputError, match=r"no paddle\.nn\.Layer"):
        like_torch([1, 2])
