"""The parts of the recipe fit together. Run with: python -m pytest tests"""

import math
import sys
from pathlib import Path

import numpy as np
from fuxian.recipe import to_tensors

sys.path.insert(0, str(Path(__file__).parents[1]))

from data import train_data
from recipe import recipe


def test_a_batch_is_always_the_same():
    first, again = train_data(2, seed=0)[1], train_data(2, seed=0)[1]
    np.testing.assert_array_equal(first["inputs"][0], again["inputs"][0])


def test_the_first_loss_is_near_chance():
    made = recipe()
    batch = made.train_data()[0]
    outputs = made.forward(made.model(), to_tensors("paddle", batch["inputs"]))
    loss = float(made.loss(outputs, to_tensors("paddle", batch["targets"])))
    assert abs(loss - math.log(4)) < 1
