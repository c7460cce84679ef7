"""What the trace notes of a call's arguments."""

from __future__ import annotations

import pytest
import torch

from fuxian.align.tracing import parameter_names


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("sum", ("self", "dim", "keepdim", "dtype")),
        ("matmul", ("self", "tensor2")),
        ("clamp", ("self", "min", "max")),
        ("split", ("self", "split_size", "dim")),
    ],
)
def test_a_method_names_the_tensor_it_is_called_on_first(name, names):
    assert parameter_names(getattr(torch.Tensor, name), method=True) == names


def test_a_function_names_its_parameters_as_documented():
    assert parameter_names(torch.sum) == ("input", "dtype")
    assert parameter_names(torch.nn.functional.linear) == ("input", "weight", "bias")
