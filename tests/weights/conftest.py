import numpy as np
import pytest


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
