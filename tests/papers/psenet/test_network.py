"""Network and loss against the official code's recording: ResNet-50 in full width, every gradient, in float64."""

from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

from fuxian.align.sketch import L2, MOMENTS
from fuxian.papers.psenet import reference
from fuxian.papers.psenet.loss import hard_pixels, loss
from fuxian.papers.psenet.model import PSENet
from fuxian.papers.psenet.reference import network_case

OWN_NAMES = {"_mean": "running_mean", "_variance": "running_var"}


def official_name(name):
    head, _, last = name.rpartition(".")
    return f"{head}.{OWN_NAMES.get(last, last)}"


@pytest.fixture(scope="module")
def recorded():
    return load_file(Path(reference.__file__).parent / "network.safetensors")


@pytest.fixture(scope="module")
def computed():
    """The same arrays from the port, sketched."""
    paddle.set_default_dtype("float64")
    try:
        model = PSENet(50)
    finally:
        paddle.set_default_dtype("float32")
    state = model.state_dict()
    made = network_case.weights({official_name(name): tuple(value.shape) for name, value in state.items()})
    model.set_state_dict({name: paddle.to_tensor(made[official_name(name)]) for name in state})
    pictures, *targets = map(paddle.to_tensor, network_case.batch())
    model.eval()
    with paddle.no_grad():
        found = {"eval": model(pictures).numpy()}
    model.train()
    outputs = model(pictures)
    losses = loss(outputs, tuple(targets))
    losses["total"].backward()
    found |= {"train": outputs.numpy(), **{f"loss.{name}": value.numpy() for name, value in losses.items()}}
    for name, parameter in model.named_parameters():
        if not parameter.stop_gradient:
            found[f"gradient.{name}"] = parameter.grad.numpy()
    return network_case.sketches(found)


def distance(ours, theirs):
    """The largest error of a projection or sampled element, relative to the tensor's norm."""
    return np.abs(ours[MOMENTS:] - theirs[MOMENTS:]).max() / theirs[L2]


def test_outputs_losses_and_every_gradient_equal_the_official_ones(recorded, computed):
    assert computed.keys() == recorded.keys()
    assert len(computed) == 5 + 192
    for name, theirs in recorded.items():
        if name == "gradient.det_head.conv1.bias":
            # Batch normalisation follows: its true gradient is zero, and both sides have rounding.
            assert max(computed[name][L2], theirs[L2]) < 1e-12
        else:
            assert distance(computed[name], theirs) < 1e-9, name


def test_the_hard_pixels_of_a_picture():
    scores = np.array([[[5.0, 4, 3, 3, 2, 1, 0, -1]]])
    text = np.array([[[0, 0, 0, 0, 0, 0, 0, 1]]])
    mask = np.array([[[1, 0, 1, 1, 1, 1, 1, 1]]])
    # One readable pixel: three negatives, of which the mask hides one; the tie at 3 comes along.
    assert hard_pixels(scores, text, mask).astype(int).tolist() == [[[1, 0, 1, 1, 0, 0, 0, 1]]]
    assert np.array_equal(hard_pixels(scores, 0 * text, mask), mask.astype(bool))
    assert np.array_equal(hard_pixels(scores, 1 + 0 * text, mask), mask.astype(bool))


def test_a_picture_without_text_has_a_finite_loss_and_gradient():
    logits = paddle.to_tensor(np.zeros((1, 7, 8, 8), np.float32), stop_gradient=False)
    none = paddle.zeros([1, 8, 8])
    losses = loss(logits, (none, paddle.zeros([1, 6, 8, 8]), none))
    losses["total"].backward()
    assert np.isfinite(float(losses["total"])) and np.isfinite(logits.grad.numpy()).all()
