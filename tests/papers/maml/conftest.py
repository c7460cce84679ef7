"""The port beside its PyTorch reference, with the same weights and tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import paddle
import pytest

from fuxian.papers.maml import loss
from fuxian.papers.maml.adapt import adapt
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet

TASKS, WAYS, FILTERS = 3, 5, 8
Arrays = dict[str, np.ndarray]


@dataclass
class Pair:
    """One network in both frameworks. ``arrays`` are support x, support y, query x, query y of 3 tasks."""

    port: Any
    reference: Any
    arrays: tuple[np.ndarray, ...]
    step_size: float
    torch_maml: ModuleType

    @property
    def adapted(self) -> list[str]:
        return list(self.port.adapted_parameters())

    def port_loss(self, steps: int, second_order: bool = True) -> Any:
        """The port's outer loss after ``steps`` inner steps, all tasks at once."""
        x, y, new_x, new_y = map(paddle.to_tensor, self.arrays)
        adapted = adapt(self.port, (x, y), steps=steps, step_size=self.step_size, second_order=second_order)[
            -1
        ]
        outer = loss.mean_squared_error if isinstance(self.port, SinusoidNet) else loss.cross_entropy
        return outer(self.port.predict(adapted, new_x).unsqueeze(0), (new_y,))

    def reference_loss(self, steps: int, second_order: bool = True) -> Any:
        """The reference's, task by task."""
        import torch

        losses = []
        for x, y, new_x, new_y in zip(*map(torch.tensor, self.arrays), strict=True):
            adapted = self.torch_maml.adapt(
                self.reference, (x, y), steps=steps, step_size=self.step_size, second_order=second_order
            )[-1]
            losses.append(self.reference.inner_loss(self.reference.predict(adapted, new_x), new_y))
        return torch.stack(losses).mean()

    def port_gradients(self, steps: int, second_order: bool = True) -> Arrays:
        self.port.clear_gradients(set_to_zero=False)
        self.port_loss(steps, second_order).backward()
        return {name: p.grad.numpy() for name, p in self.port.named_parameters()}

    def reference_gradients(self, steps: int, second_order: bool = True) -> Arrays:
        self.reference.zero_grad()
        self.reference_loss(steps, second_order).backward()
        return {name: p.grad.numpy() for name, p in self.reference.named_parameters()}


def apart(ours: Arrays, theirs: Arrays) -> float:
    """Largest difference of a parameter's gradient, relative to the largest element of the reference's.

    A convolution's bias before batch normalisation has no influence, so its gradient is rounding alone: it is held
    against the largest gradient of all.
    """
    assert set(ours) == set(theirs)
    largest = max(np.abs(gradient).max() for gradient in theirs.values())
    without_influence = {f"b{i}" for i in range(1, 5)} if "conv1" in theirs else set()
    return max(
        np.abs(ours[name] - gradient).max()
        / (largest if name in without_influence else np.abs(gradient).max())
        for name, gradient in theirs.items()
    )


@pytest.fixture
def pair() -> Callable[..., Pair]:
    """``pair("sinusoid" | "omniglot", "float64" | "float32")``; Paddle's default dtype is put back afterwards."""
    pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    before = paddle.get_default_dtype()
    yield _pair
    paddle.set_default_dtype(before)


def _pair(kind: str, dtype: str) -> Pair:
    import torch

    from fuxian.papers.maml.reference import torch_maml

    torch.set_num_threads(1)
    paddle.set_default_dtype(dtype)
    paddle.seed(0)
    rng = np.random.default_rng(0)
    if kind == "sinusoid":
        port, reference, step_size = SinusoidNet(), torch_maml.SinusoidNet(), 0.01
        x = rng.uniform(-5, 5, (2, TASKS, 10, 1))
        y = rng.uniform(0.1, 5.0, (TASKS, 1, 1)) * np.sin(x)
        # Freshly initialised, it computes nearly nothing; these are weights of the size that training brings.
        weights = {name: rng.normal(0, 0.3, p.shape) for name, p in port.named_parameters()}
    else:
        port, reference, step_size = OmniglotNet(WAYS, FILTERS), torch_maml.OmniglotNet(WAYS, FILTERS), 0.4
        # With this seed no ReLU's input comes nearer to 0 than 2e-5: beyond rounding, so both sides take its same side.
        x = rng.normal(size=(2, TASKS, WAYS, 28, 28))
        y = np.tile(np.eye(WAYS), (2, TASKS, 1, 1))
        weights = {
            name: rng.normal(0, 0.1, p.shape) if name[0] == "b" else p.numpy()
            for name, p in port.named_parameters()
        }
    reference.to(getattr(torch, dtype))
    for name, parameter in reference.named_parameters():
        parameter.data = torch.tensor(weights[name].astype(dtype))
        getattr(port, name).set_value(weights[name].astype(dtype))
    return Pair(
        port, reference, tuple(a.astype(dtype) for a in (x[0], y[0], x[1], y[1])), step_size, torch_maml
    )


@pytest.fixture
def gradients_apart() -> Callable[[Arrays, Arrays], float]:
    return apart
