"""Network and loss against the official code's recording: ResNet-50, 100 proposals, every gradient, in float64."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from fuxian.align.sketch import L2, MOMENTS
from fuxian.papers.sparse_rcnn import data, reference
from fuxian.papers.sparse_rcnn.loss import loss
from fuxian.papers.sparse_rcnn.model import Network, SparseRCNN
from fuxian.papers.sparse_rcnn.reference import network_case
from fuxian.weights import load_tensors

RELATIVE = 1e-9
IN_ONE = ("q_proj", "k_proj", "v_proj")


def official_names(model):
    """The official name and layout of each parameter: (name, transposed, part of the attention's one matrix)."""
    linear = {
        f"{path}.weight" for path, part in model.named_sublayers() if isinstance(part, paddle.nn.Linear)
    }
    for name, value in model.state_dict().items():
        path, _, last = name.rpartition(".")
        owner, _, projection = path.rpartition(".")
        if projection in IN_ONE:
            yield name, value, f"{owner}.in_proj_{last}", name in linear, IN_ONE.index(projection)
        else:
            yield name, value, name, name in linear, None


def load_case(model):
    """Sets the model's weights to the case's."""
    for _, value, official, transposed, part in official_names(model):
        shape = tuple(value.shape)[::-1] if transposed else tuple(value.shape)
        if part is None:
            drawn = network_case.drawn_weight(official, shape)
        else:
            whole = network_case.drawn_weight(official, (3 * shape[0], *shape[1:]))
            drawn = np.split(whole, 3)[part]
        value.set_value(np.ascontiguousarray(drawn.T) if transposed else drawn)


def case_batch():
    """Inputs and targets as the port takes them."""
    mean, deviation = (np.array([[[float(str(one))]] for one in v]) for v in (data.MEAN, data.DEVIATION))
    pictures = [(picture - mean) / deviation for picture in network_case.pictures()]
    padded = np.zeros((len(pictures), 3, 64, 96))
    for row, picture in zip(padded, pictures, strict=True):
        row[:, : picture.shape[1], : picture.shape[2]] = picture
    sizes = np.array(network_case.SIZES, np.float64)
    objects = network_case.objects()
    boxes = data.filled([corners for corners, _ in objects], 0)
    classes = data.filled([kinds for _, kinds in objects], -1)
    return tuple(map(paddle.to_tensor, (padded, sizes))), tuple(
        map(paddle.to_tensor, (boxes, classes, sizes))
    )


@pytest.fixture(scope="module")
def computed():
    """What is recorded, from the port."""
    paddle.set_default_dtype("float64")
    try:
        model = SparseRCNN(Network())
    finally:
        paddle.set_default_dtype("float32")
    load_case(model)
    model.train()
    inputs, targets = case_batch()
    outputs = model(*inputs)
    losses = loss(outputs, targets)
    losses["total"].backward()
    found = {"logits": outputs[0].numpy(), "boxes": outputs[1].numpy()}
    found |= {f"loss.{name}": value.numpy() for name, value in losses.items()}
    parts = {}
    for _, value, official, transposed, part in official_names(model):
        if value.grad is not None:
            gradient = value.grad.numpy()
            gradient = gradient.T if transposed else gradient
            if part is None:
                found[f"gradient.{official}"] = gradient
            else:
                parts.setdefault(official, [None] * 3)[part] = gradient
    found |= {f"gradient.{official}": np.concatenate(three) for official, three in parts.items()}
    return network_case.sketches(found)


def test_outputs_losses_and_every_gradient_equal_the_official_ones(computed):
    recorded = load_tensors(Path(reference.__file__).parent / "network.safetensors")
    assert computed.keys() == recorded.keys()
    assert sum(name.startswith("gradient.") for name in recorded) == 300
    assert sum(name.startswith("loss.") for name in recorded) == 1 + 3 * 6
    whole = np.sqrt(sum(value[L2] ** 2 for name, value in recorded.items() if name.startswith("gradient.")))
    worst = {}
    for name, theirs in recorded.items():
        # The keys' bias shifts all scores of a query alike: its gradient is rounding in both.
        scale = max(theirs[L2], RELATIVE * whole) if name.startswith("gradient.") else theirs[L2]
        worst[name] = np.abs(computed[name][MOMENTS:] - theirs[MOMENTS:]).max() / scale
    name = max(worst, key=worst.get)
    assert worst[name] < RELATIVE, (name, worst[name])
