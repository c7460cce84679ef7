import numpy as np
import pytest

from fuxian.weights import Plan, apply, plan


@pytest.fixture
def torch():
    """torch in float64, with Paddle in float64 beside it; without torch the test is skipped, and says so."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    import paddle

    before = torch.get_default_dtype(), paddle.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    paddle.set_default_dtype("float64")
    yield torch
    torch.set_default_dtype(before[0])
    paddle.set_default_dtype(before[1])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def convert_and_run(torch):
    return _convert_and_run


def _arrays(model):
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def _first(outputs):
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


def _convert_and_run(port, reference, inputs, forward=lambda model, inputs: model(*inputs), made=None):
    """Largest relative difference of the outputs after conversion; every tensor is set, and the way back
    restores the reference's."""
    import paddle
    import torch

    for buffer in reference.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    made = made or plan(port, reference)
    before = _arrays(reference)
    converted = apply(made, before)
    assert set(converted) == set(port.state_dict())
    missing, unexpected = port.set_state_dict({n: paddle.to_tensor(a) for n, a in converted.items()})
    assert (missing, unexpected) == ([], [])

    back = apply(Plan.from_json(made.to_json()), converted, "to_reference")
    assert set(back) == set(before)
    for name, array in back.items():
        np.testing.assert_array_equal(array, before[name])

    port.eval()
    reference.eval()
    ours = _first(forward(port, tuple(paddle.to_tensor(x) for x in inputs))).numpy()
    theirs = _first(forward(reference, tuple(torch.tensor(x) for x in inputs))).detach().numpy()
    return np.abs(ours - theirs).max() / np.abs(theirs).max()
