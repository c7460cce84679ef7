"""Weights converted from the reference are known again, whatever their names and layout."""

import numpy as np
import pytest

from fuxian.submission.checklist import check
from fuxian.submission.checklist.weights_origin import share_of_reference
from fuxian.weights import save_tensors

random = np.random.default_rng(1)
REFERENCE = {
    "fc.weight": random.standard_normal((6, 20)).astype(np.float32),
    "conv.weight": random.standard_normal((8, 3, 5, 5)).astype(np.float32),
    "bn.weight": np.ones(32, np.float32),
}


def test_converted_weights_are_known_again():
    ours = {
        "linear.weight": REFERENCE["fc.weight"].T,
        "conv.kernel": REFERENCE["conv.weight"].transpose(2, 3, 1, 0) * 1.0001,
        "bn._scale": REFERENCE["bn.weight"],
    }
    assert share_of_reference(ours, REFERENCE) == 1


def test_weights_trained_apart_are_not():
    other = np.random.default_rng(2)
    ours = {name: other.standard_normal(tensor.shape) for name, tensor in REFERENCE.items()}
    assert share_of_reference(ours, REFERENCE) == 0


def test_ones_say_nothing():
    assert share_of_reference({"bn": np.ones(32)}, REFERENCE) == 0


@pytest.mark.parametrize(("converted", "status"), [(True, "fail"), (False, "pass")])
def test_the_line_of_the_checklist(submission, converted, status):
    with (submission / "fuxian.toml").open("a") as file:
        file.write(
            '\n[reference]\nrun = ["python", "reference/eval.py"]\nweights = "reference/official.safetensors"\n'
        )
    (submission / "reference").mkdir()
    save_tensors(submission / "reference/official.safetensors", REFERENCE)
    if converted:
        save_tensors(submission / "weights/best.safetensors", {"w": REFERENCE["fc.weight"].T.copy()})
    found = next(line for line in check(submission) if line.id == "weights-origin")
    assert found.status == status
