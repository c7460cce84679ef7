"""What reprod_log 1.0.1 and padiff 0.2.0 let pass, or alarm on, put to the whole comparison.

Both sides are one product ``x @ W``, whose outputs, loss and gradients each case bends.
"""

from dataclasses import replace

import numpy as np
import paddle
import pytest

from fuxian.align import align
from fuxian.recipe import Recipe

torch = pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

SIZE = 4
STAGES = ("forward", "loss", "backward")


class TorchProduct(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(SIZE, SIZE)

    def forward(self, x):
        return self.fc(x)


class PaddleProduct(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(SIZE, SIZE)

    def forward(self, x):
        return self.fc(x)


def recipes(port_outputs=None, reference_outputs=None, port_loss=None, reference_loss=None, rows=5):
    """A faithful pair whose outputs and losses go through the functions given."""

    def recipe(model, outputs, loss):
        return Recipe(
            model=model,
            eval_data=lambda: [
                {"inputs": (np.random.default_rng(0).standard_normal((rows, SIZE)).astype("float32"),)}
            ],
            forward=lambda net, inputs: (outputs or (lambda y: y))(net(*inputs)),
            loss=lambda outputs, targets: (loss or (lambda y: (y * y).mean()))(outputs),
        )

    return recipe(PaddleProduct, port_outputs, port_loss), recipe(
        TorchProduct, reference_outputs, reference_loss
    )


def test_the_pair_itself_is_aligned():
    assert align(*recipes(), stages=STAGES).verdict == "aligned"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(lambda y: y * float("nan"), None, id="NaN for a number"),
        pytest.param(lambda y: y[0, :1], lambda y: y, id="a shape that would broadcast"),
        pytest.param(lambda y: y[:0], None, id="no elements"),
        pytest.param(lambda y: y.flip(0), None, id="permuted, with equal mean"),
        pytest.param(
            lambda y: {"logits": y}, lambda y: {"logits": y, "features": y}, id="one output missing"
        ),
        pytest.param(lambda y: {}, lambda y: {"logits": y}, id="no outputs"),
        pytest.param(lambda y: y > 0, lambda y: y > 0.1, id="booleans"),
    ],
)
def test_outputs_that_never_pass(ours, theirs):
    found = align(*recipes(ours, theirs), stages=("forward",))
    assert found.verdict == "diverged"
    assert found.first.stage == "forward"


def test_nan_on_both_sides_does_not_pass():
    def spoil(y):
        return y * float("nan")

    assert align(*recipes(spoil, spoil), stages=("forward",)).verdict == "inconclusive"


def test_a_square_weight_used_transposed_is_found():
    class Transposed(PaddleProduct):
        def forward(self, x):
            return x @ self.fc.weight.T + self.fc.bias

    port, reference = recipes()
    found = align(replace(port, model=Transposed), reference, stages=("forward",))
    assert found.verdict == "diverged"
    assert found.diagnosis.cause == "transposed_weight"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tiny_gradients_are_judged_by_their_own_size(dtype):
    def small(y):
        return (y * y).mean() * 1e-9

    def wrong(y):
        return (y * y).mean() * -1e-9

    port, reference = recipes(port_loss=small, reference_loss=small)
    assert align(port, reference, stages=("backward",), dtype=dtype).verdict == "aligned"
    port, _ = recipes(port_loss=wrong)
    assert align(port, reference, stages=("backward",), dtype=dtype).verdict == "diverged"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_wrong_element_in_a_million(dtype):
    def spoiled(y):
        mask = np.zeros(y.shape, y.numpy().dtype)
        mask[123_456, 1] = 0.9
        return y + paddle.to_tensor(mask)

    port, reference = recipes(spoiled, rows=250_000)
    found = align(port, reference, stages=("forward",), dtype=dtype)
    assert found.verdict == "diverged"
    assert found.stage("forward").worst.worst[0][0] == [123_456, 1]


def test_one_unit_in_the_last_place_passes_at_any_size():
    scale = 2.0**20  # 12345.678 and its neighbour differ by 0.001, which an absolute 1e-6 calls a mistake.

    def above(y):
        return y * scale * (1 + 2.0**-23)

    port, reference = recipes(above, lambda y: y * scale)
    assert align(port, reference, stages=("forward",), dtype="float32").verdict == "aligned"
    assert align(port, reference, stages=("forward",), dtype="float64").verdict == "diverged"


def test_what_is_empty_or_undefined_on_both_sides_is_the_same():
    """Pictures without boxes, and AP over objects of a size that none has."""

    def data():
        random = np.random.default_rng(0)
        inputs = (random.standard_normal((2, SIZE)).astype("float32"),)
        boxes = [np.zeros((0, 4), "float32"), random.random((2, 4)).astype("float32")]
        return [{"inputs": inputs, "targets": (boxes,)}]

    class Figures:
        def update(self, outputs, targets, meta=None):
            self.mean = float(np.asarray(outputs).mean())

        def figures(self):
            return {"ap": self.mean, "ap_large": float("nan")}

    port, reference = (replace(one, eval_data=data, metric=Figures) for one in recipes())
    found = align(port, reference, stages=("eval_data", "metric"))
    assert [stage.verdict for stage in found.stages] == ["aligned", "aligned"]

    class Undefined(Figures):
        def figures(self):
            return {"ap": float("nan"), "ap_large": float("nan")}

    found = align(replace(port, metric=Undefined), reference, stages=("metric",))
    assert found.verdict == "diverged"
    found = align(replace(port, metric=Undefined), replace(reference, metric=Undefined), stages=("metric",))
    assert found.verdict == "inconclusive", "nothing was compared"
