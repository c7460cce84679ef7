"""Every defect of the frameworks that is listed shows in the installed version, and its workaround goes round it."""

import subprocess
import sys

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from fuxian.align.defects import CLIPPED, CRASHES, PADDLE
from fuxian.align.tracing import Call

RANDOM = np.random.default_rng(3)
X, SEEN = RANDOM.standard_normal((4, 8, 3)), RANDOM.standard_normal((4, 8, 3))


def gradient(function, x):
    x = paddle.to_tensor(np.asarray(x, dtype="float64"), stop_gradient=False)
    function(x).sum().backward()
    return x.grad.numpy()


def slope_error(function):
    """How far the gradient of sum(function(x) * SEEN) is from central differences along one direction, relative."""
    seen = paddle.to_tensor(SEEN)
    direction, step = RANDOM.standard_normal(X.shape), 1e-5
    ends = [float((function(paddle.to_tensor(X + s * direction)) * seen).sum()) for s in (step, -step)]
    wanted = (ends[0] - ends[1]) / (2 * step)
    return abs((gradient(lambda x: function(x) * seen, X) * direction).sum() - wanted) / abs(wanted)


@pytest.fixture(autouse=True)
def _float64():
    paddle.set_default_dtype("float64")
    yield
    paddle.set_default_dtype("float32")


def test_batch_norm_with_the_batchs_statistics_in_evaluation_mode():
    layer = paddle.nn.BatchNorm1D(8, use_global_stats=False)
    layer.eval()
    assert slope_error(layer) > 1e-3
    layer.train()
    assert slope_error(layer) < 1e-6


def test_group_norm_without_a_weight():
    assert slope_error(paddle.nn.GroupNorm(2, 8, weight_attr=False, bias_attr=False)) > 1e-3
    assert slope_error(lambda x: F.group_norm(x, 2, weight=paddle.ones([8], x.dtype))) < 1e-6


def test_silu_far_below_zero():
    assert np.isnan(gradient(F.silu, [-800.0]))
    assert gradient(lambda x: x * F.sigmoid(x), [-800.0]) == 0.0


def test_leaky_relu_at_zero():
    assert gradient(lambda x: F.leaky_relu(x, 0.2), [0.0]) == 1.0
    assert gradient(lambda x: paddle.where(x > 0, x, 0.2 * x), [0.0]) == 0.2


def test_log_softmax_far_below_zero():
    x = paddle.to_tensor([[100.0, 0.0]])
    assert F.log_softmax(x).min() == CLIPPED
    assert F.cross_entropy(x, paddle.to_tensor([1])) == -CLIPPED
    assert F.nll_loss(x - paddle.logsumexp(x, -1, keepdim=True), paddle.to_tensor([1])) == 100.0
    assert (x - paddle.logsumexp(x, -1, keepdim=True)).min() == -100.0


@pytest.mark.parametrize(("extreme", "place"), [(paddle.max, paddle.argmax), (paddle.min, paddle.argmin)])
def test_an_extreme_among_equals(extreme, place):
    x = [[1.0, 1.0]]
    np.testing.assert_array_equal(gradient(lambda x: extreme(x, axis=1), x), [[0.5, 0.5]])
    taken = gradient(lambda x: paddle.take_along_axis(x, place(x, axis=1, keepdim=True), 1), x)
    np.testing.assert_array_equal(taken, [[1.0, 0.0]])


def test_each_is_recognised_in_a_call_that_meets_it_and_in_no_other():
    meeting = {
        "batch_norm": ({"use_global_stats": False}, None),
        "group_norm": ({}, None),
        "silu": ({}, np.array([-1000.0])),
        "leaky_relu": ({}, np.array([0.0])),
        "max": ({"axis": 0}, np.array([1.0, 1.0])),
        "min": ({"axis": 0}, np.array([1.0, 1.0])),
    }
    sound = {
        "batch_norm": ({}, None), "group_norm": ({}, None), "silu": ({}, np.array([-1.0])),
        "leaky_relu": ({}, np.array([1.0])), "max": ({"axis": 0}, np.array([1.0, 2.0])),
        "min": ({"axis": 0}, np.array([1.0, 2.0])),
    }  # fmt: skip
    for defect in PADDLE:
        for cases, meets in ((meeting, True), (sound, False)):
            arguments, x = cases[defect.operation]
            inputs = ["t0"] if meets else ["t0", "parameters.norm.weight"]
            call = Call(0, defect.operation, defect.operation, "", "forward", -1, arguments, inputs, [], "")
            assert defect.meets(call, {}, x) is meets, defect.name


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("grid_sample", "F.grid_sample(x, w.reshape([1, 2, 2, 2]), align_corners=False)"),
        ("prelu", "F.prelu(x, w[0, 0, :2])"),
    ],
)
def test_a_backward_pass_that_ends_the_process(name, call):
    assert name in CRASHES
    program = (
        "import paddle, paddle.nn.functional as F; x = paddle.rand([1, 2, 3, 3]);"
        f" w = paddle.rand([1, 2, 4]); w.stop_gradient = False; {call}.sum().backward()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode < 0
