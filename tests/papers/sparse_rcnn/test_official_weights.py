"""Weights in the official code's and in torchvision's layout go where they belong in the port, in full size."""

import re

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.papers.find import find_claim
from fuxian.papers.sparse_rcnn import start
from fuxian.papers.sparse_rcnn.model import Network, SparseRCNN
from fuxian.papers.sparse_rcnn.recipe import recipe
from fuxian.papers.sparse_rcnn.settings import RANDOM, SETTINGS
from fuxian.papers.weights_entries import weights_entries
from fuxian.weights import apply, plan, save_tensors

# One stage has every kind of layer; its widths are the paper's, and so is the ResNet's depth.
NETWORK = Network(stages=2, proposals=10)
IN_ONE = ("q_proj", "k_proj", "v_proj")


def numbers(name, shape):
    """Other values for each name, cheaply: a ramp."""
    count = int(np.prod(shape))
    return (np.arange(count, dtype=np.float32) + len(name)).reshape(shape)


@pytest.fixture(scope="module")
def model():
    return SparseRCNN(NETWORK)


def official(model):
    """The official checkpoint's names and shapes, and what each tensor of the port is to become."""
    import paddle

    linear = {
        f"{path}.weight" for path, part in model.named_sublayers() if isinstance(part, paddle.nn.Linear)
    }
    file, wanted = {}, {}
    for name, value in model.state_dict().items():
        shape = tuple(value.shape)[::-1] if name in linear else tuple(value.shape)
        path, _, last = name.rpartition(".")
        owner, _, projection = path.rpartition(".")
        if projection in IN_ONE:
            whole = f"{owner}.in_proj_{last}"
            file.setdefault(whole, numbers(whole, (3 * shape[0], *shape[1:])))
            made = np.split(file[whole], 3)[IN_ONE.index(projection)]
        else:
            made = file[name] = numbers(name, shape)
        wanted[name] = made.T if name in linear else made
    return file, wanted


def test_an_official_checkpoint_is_mapped_without_help(model):
    file, wanted = official(model)
    assert file["head.head_series.1.inst_interact.dynamic_layer.weight"].shape == (32768, 256)
    assert file["backbone.bottom_up.res4.5.conv2.norm.running_var"].shape == (256,)
    carried = apply(plan(model, file), file)
    assert carried.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(carried[name], value, err_msg=name)


def torchvision_names(network):
    """Names and shapes of torchvision's ResNet of the network's depth."""
    blocks = {50: (3, 4, 6, 3)}[network.depth]
    made = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048), "fc.bias": (1000,)}

    def normed(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            made[f"{name}.{part}"] = (channels,)
        made[f"{name}.num_batches_tracked"] = ()

    normed("bn1", 64)
    inputs = 64
    for stage, count in enumerate(blocks, start=1):
        inner = 32 * 2**stage
        for block in range(count):
            path = f"layer{stage}.{block}"
            sides = ((inner, inputs, 1), (inner, inner, 3), (4 * inner, inner, 1))
            for number, (outputs, channels, side) in enumerate(sides, start=1):
                made[f"{path}.conv{number}.weight"] = (outputs, channels, side, side)
                normed(f"{path}.bn{number}", outputs)
            if not block:
                made[f"{path}.downsample.0.weight"] = (4 * inner, inputs, 1, 1)
                normed(f"{path}.downsample.1", 4 * inner)
            inputs = 4 * inner
    return made


def test_torchvisions_resnet_is_the_detectors_beginning(model, tmp_path):
    tensors = {name: numbers(name, shape) for name, shape in torchvision_names(NETWORK).items()}
    file = tmp_path / "resnet50.safetensors"
    save_tensors(file, tensors)
    before = model.init_proposal_boxes.weight.numpy()
    start.load_backbone(model, str(file))
    held = {
        name.removeprefix("backbone.bottom_up."): value.numpy()
        for name, value in model.state_dict().items()
        if name.startswith("backbone.bottom_up.")
    }
    for ours, theirs in {
        "stem.conv1.norm.running_var": "bn1.running_var",
        "res2.0.shortcut.weight": "layer1.0.downsample.0.weight",
        "res2.0.shortcut.norm.bias": "layer1.0.downsample.1.bias",
        "res5.2.conv3.norm.weight": "layer4.2.bn3.weight",
        "res4.5.conv2.weight": "layer3.5.conv2.weight",
    }.items():
        np.testing.assert_array_equal(held[ours], tensors[theirs], err_msg=ours)
    rest = [name for name in tensors if not name.startswith("fc.") and "num_batches" not in name]
    assert len(held) == len(rest) == 265
    np.testing.assert_array_equal(model.init_proposal_boxes.weight.numpy(), before)
    del tensors["layer4.2.bn3.weight"]
    save_tensors(file, tensors)
    with pytest.raises(InputError, match="holds another network"):
        start.load_backbone(model, str(file))


def test_starting_weights_that_are_not_here_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"fuxian weights get sparse-rcnn/resnet50-imagenet"):
        recipe("coco-r50-100").model()
    with pytest.raises(InputError, match=r"--set start=FILE"):
        recipe("coco-r101-100").model()


def test_every_claim_has_a_setting_and_only_torchvisions_weights_are_downloaded():
    paper = find_claim("sparse-rcnn")[0].paper
    assert {claim.id for claim in paper.claims if claim.scope == "paper"} == {
        name for name, setting in SETTINGS.items() if setting.start != RANDOM
    }
    for entry in weights_entries(paper).values():
        assert re.fullmatch(r"https://download\.pytorch\.org/models/resnet\d+-[0-9a-f]{8}\.pth", *entry.url)
        assert entry.sha256.startswith(entry.url[0][-12:-4])
