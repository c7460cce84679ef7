"""Second-order MAML that is truly second-order: meta-gradients against torch and against finite differences."""

import numpy as np
import paddle
import pytest

from fuxian.papers.maml.adapt import adapt
from fuxian.papers.maml.model import SinusoidNet

NETS = ["sinusoid", "omniglot"]


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("net", NETS)
def test_meta_gradients_equal_torchs(pair, gradients_apart, net, dtype, tolerance, steps):
    both = pair(net, dtype)
    ours, theirs = both.port_gradients(steps), both.reference_gradients(steps)
    assert all(gradient.dtype == dtype for gradient in ours.values())
    assert gradients_apart(ours, theirs) < tolerance


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("net", NETS)
def test_first_order_meta_gradients_equal_torchs(pair, gradients_apart, net, steps):
    both = pair(net, "float64")
    ours = both.port_gradients(steps, second_order=False)
    assert gradients_apart(ours, both.reference_gradients(steps, second_order=False)) < 1e-10


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("net", NETS)
def test_the_meta_gradient_is_the_outer_losss_derivative_and_not_the_first_order_one(pair, net, steps):
    """Needs no second framework: a dropped second-order term changes the slope along a random direction."""
    both = pair(net, "float64")
    rng = np.random.default_rng(1)
    parameters = {name: p.numpy() for name, p in both.port.named_parameters()}
    direction = {name: rng.normal(size=value.shape) for name, value in parameters.items()}
    length = np.sqrt(sum(np.square(value).sum() for value in direction.values()))
    direction = {name: value / length for name, value in direction.items()}
    second, first = both.port_gradients(steps), both.port_gradients(steps, second_order=False)

    def slope(gradients):
        return sum((gradients[name] * direction[name]).sum() for name in gradients)

    def loss_at(distance):
        for name, value in parameters.items():
            getattr(both.port, name).set_value(value + distance * direction[name])
        return float(both.port_loss(steps))

    # Short, since the loss jumps where a ReLU of the inner loop changes side.
    step = 1e-7
    above, below = loss_at(step), loss_at(-step)
    numeric = (above - below) / (2 * step)
    # Each loss is known to a few units in its last place, whatever the slope is.
    rounding = 8 * np.finfo("float64").eps * max(abs(above), abs(below)) / step
    assert slope(second) == pytest.approx(numeric, rel=1e-6, abs=rounding)
    assert abs(slope(first) - numeric) > 0.05 * abs(numeric)


@pytest.mark.parametrize("net", NETS)
def test_every_layer_gets_a_second_order_term(pair, net):
    both = pair(net, "float64")
    second, first = both.port_gradients(1), both.port_gradients(1, second_order=False)
    for name in both.adapted:
        if net == "omniglot" and name in ("b1", "b2", "b3", "b4"):
            continue  # A bias before batch normalisation has no influence at all.
        assert np.abs(second[name] - first[name]).max() > 1e-3 * np.abs(second[name]).max(), name


@pytest.mark.parametrize("net", NETS)
def test_the_trajectory_equals_torchs_task_by_task(pair, net):
    torch = pytest.importorskip("torch")
    both = pair(net, "float64")
    x, y = both.arrays[:2]
    ours = adapt(both.port, (paddle.to_tensor(x), paddle.to_tensor(y)), steps=3, step_size=both.step_size)
    assert len(ours) == 4
    for task in range(len(x)):
        support = torch.tensor(x[task]), torch.tensor(y[task])
        theirs = both.torch_maml.adapt(both.reference, support, steps=3, step_size=both.step_size)
        for mine, other in zip(ours, theirs, strict=True):
            for name in both.adapted:
                expected = other[name].detach().numpy()
                np.testing.assert_allclose(mine[name][task].numpy(), expected, atol=1e-11, err_msg=name)


@pytest.mark.parametrize(
    ("dtype", "loss_tolerance", "weight_tolerance"), [("float64", 1e-7, 1e-6), ("float32", 2e-3, 2e-2)]
)
@pytest.mark.parametrize("net", NETS)
def test_ten_meta_steps_go_torchs_way(pair, net, dtype, loss_tolerance, weight_tolerance):
    """Adam on both sides. Convolution biases are left out: Adam turns the rounding in their gradient into steps.

    Paddle keeps the learning rate in float32, which float64 weights show at about 1e-8 of each step.
    """
    torch = pytest.importorskip("torch")
    both = pair(net, dtype)
    our_adam = paddle.optimizer.Adam(1e-3, parameters=both.port.parameters())
    their_adam = torch.optim.Adam(both.reference.parameters(), lr=1e-3)
    ours, theirs = [], []
    for _ in range(10):
        our_loss = both.port_loss(1)
        our_loss.backward()
        our_adam.step()
        our_adam.clear_grad()
        their_adam.zero_grad()
        their_loss = both.reference_loss(1)
        their_loss.backward()
        their_adam.step()
        ours.append(float(our_loss))
        theirs.append(their_loss.item())
    np.testing.assert_allclose(ours, theirs, rtol=loss_tolerance)
    assert theirs[-1] < theirs[0]
    for name, parameter in both.reference.named_parameters():
        if net == "omniglot" and name in ("b1", "b2", "b3", "b4"):
            continue
        expected = parameter.detach().numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            getattr(both.port, name).numpy(), expected, atol=weight_tolerance * scale, rtol=0, err_msg=name
        )


def test_no_steps_leave_the_initial_weights():
    net = SinusoidNet()
    x = paddle.zeros([2, 4, 1])
    (weights,) = adapt(net, (x, x), steps=0, step_size=0.01)
    for name, parameter in net.named_parameters():
        np.testing.assert_array_equal(weights[name].numpy(), np.stack([parameter.numpy()] * 2))


def test_paddles_own_double_gradient_of_a_convolution_is_still_silently_first_order():
    """Why the inner gradients here are written out.

    When this fails, Paddle has mended ``paddle.grad(..., create_graph=True)`` through conv2d: say so in the paper's
    README, and consider whether the hand-written operators are still worth their place (they are also faster).
    """
    rng = np.random.default_rng(0)
    x = paddle.to_tensor(rng.normal(size=(2, 1, 6, 6)))
    start = rng.normal(size=(2, 1, 3, 3))

    def outer(kernel, create_graph):
        inner = (paddle.nn.functional.conv2d(x, kernel) ** 3).mean()
        (gradient,) = paddle.grad(inner, [kernel], create_graph=create_graph)
        return (paddle.nn.functional.conv2d(x, kernel - 0.1 * gradient) ** 3).mean()

    def meta_gradient(create_graph):
        kernel = paddle.to_tensor(start, stop_gradient=False)
        outer(kernel, create_graph).backward()
        return kernel.grad.numpy()

    def loss_at(value):
        return float(outer(paddle.to_tensor(value, stop_gradient=False), False))

    shift = np.zeros_like(start)
    shift[0, 0, 1, 1] = 1e-6
    numeric = (loss_at(start + shift) - loss_at(start - shift)) / 2e-6
    first, claimed = meta_gradient(False), meta_gradient(True)
    assert abs(first[0, 0, 1, 1] - numeric) > 0.01 * abs(numeric)
    mended = "Paddle no longer drops the second-order terms of conv2d: see this test's docstring"
    np.testing.assert_array_equal(claimed, first, err_msg=mended)
