"""A faithful recurrent layer: Paddle's lists a buffer that holds nothing and has no counterpart."""

import numpy as np
import paddle
import pytest

pytest.importorskip("torch", reason="live references need torch: pip install 'fuxian[reference]'")

import torch

from fuxian.align import align
from fuxian.recipe import Recipe


@pytest.mark.parametrize("layer", ["GRU", "LSTM"])
def test_a_faithful_recurrent_layer_is_aligned(layer):
    batch = {"inputs": (np.random.default_rng(1).standard_normal((2, 3, 4)).astype("float32"),)}
    sides = [
        Recipe(
            model=model,
            eval_data=lambda: [batch],
            forward=lambda model, inputs: model(inputs[0])[0],
        )
        for model in (
            lambda: getattr(paddle.nn, layer)(4, 5),
            lambda: getattr(torch.nn, layer)(4, 5, batch_first=True),
        )
    ]
    found = align(*sides, stages=("configuration", "forward"))
    assert {result.stage: result.verdict for result in found.stages}["forward"] == "aligned"
