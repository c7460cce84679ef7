"""Files as training scripts write them: wrapped, prefixed, beside moving averages, options and whole models."""

import argparse
import json
import sys
import types

import numpy as np
import pytest

from fuxian.weights import load_tensors

PORT = """
import paddle
from fuxian import Recipe


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 4, 3)
        self.bn = paddle.nn.BatchNorm2D(4)
        self.head = paddle.nn.Linear(4, 4)


def recipe():
    return Recipe(model=Net)
"""
REFERENCE = """
import torch
from fuxian import Recipe


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.bn = torch.nn.BatchNorm2d(4)
        self.head = torch.nn.Linear(4, 4)


def recipe():
    return Recipe(model=Net)
"""


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A folder with both recipes, and a function that saves a tree made of the reference's and averaged weights."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    folder = tmp_path_factory.mktemp("wild")
    (folder / "port.py").write_text(PORT)
    (folder / "reference.py").write_text(REFERENCE)
    torch.manual_seed(0)
    module = sys.modules["wild_reference"] = types.ModuleType("wild_reference")
    exec(REFERENCE, module.__dict__)  # noqa: S102
    model = module.Net()
    weights = model.state_dict()
    averaged = {name: tensor * 0.5 for name, tensor in weights.items()}

    def save(name, make):
        torch.save(make(weights, averaged), folder / name)
        return folder / name

    save.model, save.folder = model, folder
    yield save
    del sys.modules["wild_reference"]


def put(prefix, tensors, beside=()):
    return {name if name in beside else prefix + name: tensor for name, tensor in tensors.items()}


WRAPPED = {
    "imagenet.pth.tar": lambda w, a: {
        "state_dict": put("module.", w),
        "best_acc1": w["bn.bias"].sum(),
        "optimizer": {"state": {0: {"step": w["bn.bias"]}}},
    },
    "timm.pth": lambda w, a: {"state_dict": w, "state_dict_ema": a, "args": None},
    "basicsr.pth": lambda w, a: {"params_ema": a, "params": w},
    "mean.pth": lambda w, a: {"mean": w["bn.bias"], "model": w, "args": argparse.Namespace(lr=0.1)},
    "mmdet.pth": lambda w, a: {
        "meta": {"C": ("a",)},
        "state_dict": put("backbone.", w, ("head.weight", "head.bias")),
    },
    "gan.pth": lambda w, a: {"discriminator": {"fc.weight": w["head.weight"]}, "generator": w},
}


@pytest.mark.parametrize("models", [("port",), ("port", "reference")], ids=len)
@pytest.mark.parametrize("name", WRAPPED)
def test_what_fits_the_model_is_found(wild, fuxian, name, models):
    file, out = wild(name, WRAPPED[name]), wild.folder / "out.npz"
    options = [word for side in models for word in (f"--{side}", wild.folder / f"{side}.py")]
    code, shown, said = fuxian("weights", "convert", file, out, *options, "--json")
    assert code == 0, said
    made = load_tensors(out)
    weights = wild.model.state_dict()
    np.testing.assert_array_equal(made["conv.weight"], weights["conv.weight"].numpy())
    np.testing.assert_array_equal(made["head.weight"], weights["head.weight"].numpy().T)
    notes = " ".join(json.loads(shown)["notes"])
    for prefix in ("module.", "backbone."):
        assert (f"{prefix!r} was left out" in notes) == (prefix in str(load_tensors(file).keys()))
    for twin in ("state_dict_ema", "params_ema"):
        assert (f"{twin!r} would fit as well" in notes) == (
            name in ("timm.pth", "basicsr.pth") and twin in notes
        )


def test_the_choice_is_the_users(wild, fuxian):
    timm, out = wild("timm.pth", WRAPPED["timm.pth"]), wild.folder / "out.npz"
    port = ("--port", wild.folder / "port.py")
    assert fuxian("weights", "convert", timm, out, *port, "--key", "state_dict_ema")[0] == 0
    wanted = wild.model.state_dict()["head.bias"].numpy() * 0.5
    np.testing.assert_array_equal(load_tensors(out)["head.bias"], wanted)

    both = wild("dino.pth", lambda w, a: {**put("student.", w), **put("teacher.", a)})
    code, _, said = fuxian("weights", "convert", both, out, *port)
    assert code == 2
    assert "'student.' and 'teacher.'" in said and "--prefix" in said
    code, _, said = fuxian("weights", "convert", both, out, *port, "--prefix", "teacher.")
    assert code == 0
    np.testing.assert_array_equal(load_tensors(out)["head.bias"], wanted)
    assert "student." in said
    code, _, said = fuxian("weights", "convert", both, out, *port, "--prefix", "momentum.")
    assert code == 2 and "student, teacher" in said


def test_the_ports_own_weights_are_recognised(wild, fuxian):
    file = wild("timm.pth", WRAPPED["timm.pth"])
    port, out = ("--port", wild.folder / "port.py"), wild.folder / "own.pdparams"
    assert fuxian("weights", "convert", file, out, *port)[0] == 0
    code, _, said = fuxian("weights", "convert", out, wild.folder / "again.npz", *port)
    assert code == 2
    assert "port's own weights already" in said


def test_an_object_beside_weights_is_left_out_and_one_around_them_refused(wild, fuxian):
    shown = json.loads(fuxian("weights", "inspect", wild("mean.pth", WRAPPED["mean.pth"]), "--json")[1])
    assert any("args (argparse.Namespace)" in note for note in shown["notes"])
    code, shown, _ = fuxian(
        "weights", "inspect", wild("beside.pth", lambda w, a: {"net": wild.model, "model": w})
    )
    assert code == 0
    assert "8 tensors" not in shown and "conv.weight" in shown
    for tree, key, load in (
        (lambda w, a: wild.model, "at the top", "weights_only=False).state_dict()"),
        (lambda w, a: {"model": wild.model, "best": w["bn.bias"]}, "'model'", "['model'].state_dict()"),
    ):
        code, _, said = fuxian("weights", "inspect", wild("whole.pth", tree))
        assert code == 2
        assert "wild_reference.Net" in said and key in said
        assert load in said


def test_a_call_in_a_file_is_refused_with_its_key(wild, fuxian):
    class Call:
        def __reduce__(self):
            return print, ("ran",)

    for make in (
        lambda w, a: {"state_dict": w, "opt": {"hook": Call()}},
        lambda w, a: {"opt": [1, Call()], "w": w},
    ):
        code, shown, said = fuxian("weights", "inspect", wild("call.pth", make))
        assert code == 2
        assert any(
            f"builtin{s}.print under '{key}'" in said for s in ("s", "__") for key in ("opt", "opt.hook")
        )
        assert "ran" not in shown


def test_diff_pairs_names_and_tells_layouts_from_other_numbers(wild, fuxian):
    file = wild("imagenet.pth.tar", WRAPPED["imagenet.pth.tar"])
    ours = wild.folder / "ours.pdparams"
    assert fuxian("weights", "convert", file, ours, "--port", wild.folder / "port.py")[0] == 0
    code, shown, _ = fuxian("weights", "diff", file, ours, "--json")
    found = json.loads(shown)
    assert code == 1
    assert found["same_numbers"] and not found["equal"]
    rows = {row["name"]: row for row in found["tensors"]}
    assert rows["module.bn.running_var"]["second"] == "bn._variance"
    assert "[in, out]" in rows["module.head.weight"]["layout"]
    assert rows["module.conv.weight"]["layout"] == ""
    assert found["only_first"] == ["module.bn.num_batches_tracked"] and not found["only_second"]
    shown = fuxian("weights", "diff", file, ours)[1]
    assert "[in, out]" in shown and "the same numbers" in shown

    other = wild(
        "mmdet.pth", lambda w, a: {"state_dict": put("backbone.", {**w, "head.bias": w["head.bias"] + 1})}
    )
    found = json.loads(fuxian("weights", "diff", file, other, "--json")[1])
    assert not found["same_numbers"]
    assert [row["name"] for row in found["tensors"] if not row["equal"]] == ["module.head.bias"]
    both = wild("dino.pth", lambda w, a: {**put("student.", w), **put("teacher.", a)})
    found = json.loads(fuxian("weights", "diff", both, file, "--json")[1])
    assert not found["tensors"] and any("none was taken" in note for note in found["notes"])


def test_a_dict_that_numpy_saved_is_read(tmp_path, fuxian):
    np.save(tmp_path / "dict.npy", {"fc.weight": np.eye(2), "fc.bias": np.zeros(2)}, allow_pickle=True)
    shown = json.loads(fuxian("weights", "inspect", tmp_path / "dict.npy", "--json")[1])
    assert [row["name"] for row in shown["tensors"]] == ["fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(1.5, [1.5], 0), ([1.5], 1.5, 0), (1.5, [[1.5]], 1), (1.5, [2.5], 1)],
)
def test_one_number_is_one_number_in_a_vector_too(tmp_path, fuxian, first, second, code):
    for name, value in (("a", first), ("b", second)):
        np.save(tmp_path / f"{name}.npy", {"loss": np.array(value)})
    assert fuxian("align", "import-log", tmp_path / "a.npy", tmp_path / "b.npy")[0] == code
