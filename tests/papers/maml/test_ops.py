"""The hand-written operators, each against torch's own or against its definition, in float64."""

import resource
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuxian.papers.maml import ops

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")

SIDES = st.sampled_from([1, 2, 3, 4, 7, 14, 28])


def same_padding(side: int) -> tuple[int, int, int, int]:
    """TensorFlow's 'SAME' for a 3x3 window at stride 2: even sides at the end only, odd sides at both ends."""
    return (0, 1, 0, 1) if side % 2 == 0 else (1, 1, 1, 1)


@given(
    side=SIDES,
    tasks=st.integers(1, 3),
    images=st.integers(1, 3),
    channels=st.integers(1, 4),
    seed=st.integers(0),
)
def test_col2im_is_the_adjoint_of_im2col(side, tasks, images, channels, seed):
    rng = np.random.default_rng(seed)
    out = (side + 1) // 2
    x = rng.normal(size=(tasks, images * side * side, channels))
    y = rng.normal(size=(tasks, images * out * out, 9 * channels))
    windows = ops.im2col(paddle.to_tensor(x), tasks * images, side).numpy()
    folded = ops.col2im(paddle.to_tensor(y), tasks * images, side).numpy()
    assert windows.shape == y.shape and folded.shape == x.shape
    np.testing.assert_allclose((windows * y).sum(), (x * folded).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("operator", [ops.im2col, ops.col2im])
def test_the_gradient_of_each_is_the_other(operator):
    side, images, channels = 7, 2, 3
    rows, width = (side * side, channels) if operator is ops.im2col else (16, 9 * channels)
    rng = np.random.default_rng(0)
    x = paddle.to_tensor(rng.normal(size=(1, images * rows, width)), stop_gradient=False)
    weight = paddle.to_tensor(rng.normal(size=operator(x, images, side).shape))
    (operator(x, images, side) * weight).sum().backward()
    other = ops.col2im if operator is ops.im2col else ops.im2col
    np.testing.assert_allclose(x.grad.numpy(), other(weight, images, side).numpy(), atol=1e-12)


@pytest.mark.parametrize("side", [28, 14, 7, 4])
def test_a_product_with_the_windows_is_the_same_padded_convolution(side):
    tasks, images, channels, filters = 2, 3, 2, 5
    rng = np.random.default_rng(side)
    x = rng.normal(size=(tasks, images, side, side, channels))
    kernel = rng.normal(size=(tasks, 3, 3, channels, filters))
    windows = ops.im2col(paddle.to_tensor(x.reshape(tasks, -1, channels)), tasks * images, side)
    ours = paddle.matmul(windows, paddle.to_tensor(kernel.reshape(tasks, -1, filters))).numpy()
    for task in range(tasks):
        padded = torch.nn.functional.pad(torch.tensor(x[task]).permute(0, 3, 1, 2), same_padding(side))
        theirs = torch.nn.functional.conv2d(padded, torch.tensor(kernel[task]).permute(3, 2, 0, 1), stride=2)
        expected = theirs.permute(0, 2, 3, 1).reshape(-1, filters).numpy()
        np.testing.assert_allclose(ours[task], expected, atol=1e-12)


def test_normalize_is_batch_norm_in_training_with_its_gradients():
    tasks, rows, channels = 2, 12, 3
    rng = np.random.default_rng(0)
    z = rng.normal(1.0, 2.0, (tasks, rows, channels))
    bias = rng.normal(size=(tasks, channels))
    beta = rng.normal(size=(1, channels)).repeat(tasks, 0)
    weight = rng.normal(size=z.shape)
    our_z, our_bias, our_beta = (paddle.to_tensor(a, stop_gradient=False) for a in (z, bias, beta))
    xhat, inverse_std = ops.normalize(our_z, our_bias)
    activation, positive = ops.shift_relu(xhat, our_beta.unsqueeze(1))
    (activation * paddle.to_tensor(weight)).sum().backward()
    for task in range(tasks):
        their_z, their_bias, their_beta = (torch.tensor(a[task], requires_grad=True) for a in (z, bias, beta))
        biased = their_z + their_bias
        normal = torch.nn.functional.batch_norm(biased, None, None, None, their_beta, training=True, eps=1e-3)
        theirs = torch.relu(normal)
        (theirs * torch.tensor(weight[task])).sum().backward()
        np.testing.assert_allclose(activation[task].numpy(), theirs.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(our_z.grad[task].numpy(), their_z.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(our_beta.grad[task].numpy(), their_beta.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(our_bias.grad[task].numpy(), their_bias.grad.numpy(), atol=1e-12)
        deviation = 1 / np.sqrt(z[task].var(0) + 1e-3)
        np.testing.assert_allclose(inverse_std[task, 0].numpy(), deviation, rtol=1e-12)
        np.testing.assert_array_equal(positive[task].numpy(), theirs.detach().numpy() > 0)


def test_normalize_gradient_is_batch_norms_gradient_and_has_its_second_derivatives():
    """A directional gradient of the BN block, differentiated once more, is the heart of the meta-gradient."""
    rows, channels = 10, 3
    rng = np.random.default_rng(1)
    z, beta, weight, direction = (
        rng.normal(size=s) for s in ((rows, channels), (channels,), *[(rows, channels)] * 2)
    )

    our_z, our_weight = (paddle.to_tensor(a[None], stop_gradient=False) for a in (z, weight))
    our_beta = paddle.to_tensor(beta[None, None])
    bias = paddle.to_tensor(np.zeros((1, channels)), stop_gradient=False)
    xhat, inverse_std = ops.normalize(our_z, bias)
    _, positive = ops.shift_relu(xhat, our_beta)
    ours = ops.normalize_gradient(our_weight, positive, xhat, inverse_std)
    (ours * paddle.to_tensor(direction[None])).sum().backward()

    their_z, their_weight = (torch.tensor(a, requires_grad=True) for a in (z, weight))
    normal = torch.nn.functional.batch_norm(
        their_z, None, None, None, torch.tensor(beta), training=True, eps=1e-3
    )
    (theirs,) = torch.autograd.grad((torch.relu(normal) * their_weight).sum(), their_z, create_graph=True)
    (theirs * torch.tensor(direction)).sum().backward()

    np.testing.assert_allclose(ours[0].numpy(), theirs.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(our_z.grad[0].numpy(), their_z.grad.numpy(), atol=1e-11)
    np.testing.assert_allclose(our_weight.grad[0].numpy(), their_weight.grad.numpy(), atol=1e-12)


@given(rows=st.integers(1, 40), tasks=st.integers(1, 5), seed=st.integers(0))
def test_repetitions_and_sums_by_products_are_exact(rows, tasks, seed):
    row = paddle.to_tensor(np.random.default_rng(seed).normal(size=(tasks, 1, 3)))
    repeated = ops.repeat_rows(row, rows).numpy()
    np.testing.assert_array_equal(repeated, np.repeat(row.numpy(), rows, 1))
    np.testing.assert_allclose(
        ops.row_sum(paddle.to_tensor(repeated)).numpy(), repeated.sum(1, keepdims=True)
    )
    weight = row[0]
    np.testing.assert_array_equal(
        ops.repeat_tasks(weight, tasks).numpy(), np.repeat(weight.numpy()[None], tasks, 0)
    )


def test_a_forward_pass_without_a_backward_pass_leaves_nothing_behind():
    """Paddle frees no result that its PyLayer holds: evaluation would fill the memory batch by batch."""
    z = paddle.randn([8, 980, 64])  # 2 MB
    bias, beta = paddle.zeros([8, 64]), paddle.zeros([8, 1, 64])
    z.stop_gradient = bias.stop_gradient = beta.stop_gradient = False

    def held() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def once() -> None:
        xhat, inverse_std = ops.normalize(z * 1.0, bias)
        relu, positive = ops.shift_relu(xhat, beta)
        ops.normalize_gradient(relu, positive, xhat, inverse_std)

    for _ in range(5):
        once()
    before = held()
    for _ in range(20):
        once()
    assert held() - before < 20 * 2**20
