"""The programs: TIPC's 51 lines, and what the port imports."""

import json

import pytest

from fuxian.submission.checklist import check

CONFIG = "test_tipc/configs/mixer/train_infer_python.txt"


def finding(folder, id):
    return next(line for line in check(folder) if line.id == id)


def test_the_weights_of_a_claim_about_weights_are_there(submission):
    (submission / "weights/best.safetensors").unlink()
    found = finding(submission, "commands")
    assert (found.status, found.file) == ("fail", "weights/best.safetensors")
    assert "top1" in found.what


def test_weights_that_are_mounted_with_the_data_are_not_looked_for(submission, edit):
    (submission / "weights/best.safetensors").unlink()
    edit("fuxian.toml", "[team]", '[data]\nomniglot = "weights"\n\n[team]')
    assert finding(submission, "commands").status == "pass"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("##\n", "##\n##\n", 52),
        ("trainer:norm_train", "norm:norm_train", 15),
        ("norm_train:tools/train.py", "norm_train:tools/gone.py", 16),
        ("quant_export:null", "quant_export", 31),
    ],
)
def test_tipc_names_the_line(edit, old, new, line):
    found = finding(edit(CONFIG, old, new), "tipc")
    assert (found.status, found.file, found.line) == ("fail", CONFIG, line)


@pytest.mark.parametrize(
    "code",
    [
        "import torch",
        "from torch import nn",
        "def f():\n    import tensorflow.keras",
        "import importlib\nimportlib.import_module('torch.nn')",
        "__import__('torchvision')",
        "import paddle.fluid as fluid",
        "from paddle import fluid",
        "print 'python 2'",
    ],
)
def test_code_that_is_no_port(submission, code):
    (submission / "mixer/model.py").write_text("# Copyright me\n" + code + "\n")
    found = finding(submission, "port-code")
    assert (found.status, found.file) == ("fail", "mixer/model.py")
    assert found.line >= 2


@pytest.mark.parametrize("place", ["reference/model.py", "tests/test_model.py"])
def test_the_reference_and_tests_may_use_it(submission, place):
    (submission / place).parent.mkdir()
    (submission / place).write_text("# Copyright me\nimport torch\n")
    assert finding(submission, "port-code").status == "pass"


@pytest.mark.parametrize(
    "code", ["from .torch import x", "torch = 1", "import torchlight_paddle", "'import torch'"]
)
def test_names_that_only_look_alike(submission, code):
    (submission / "mixer/model.py").write_text("# Copyright me\n" + code + "\n")
    assert finding(submission, "port-code").status == "pass"


def test_notebooks_are_read_too(submission):
    cell = {"cell_type": "code", "source": ["%matplotlib inline\n", "if 1:\n", "    !ls\n", "import torch\n"]}
    (submission / "demo.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert finding(submission, "port-code").what == "cell 1, line 4: imports torch"
    (submission / "demo.ipynb").write_text("{")
    assert finding(submission, "port-code").status == "pass"


def test_nesting_without_end_is_no_crash(submission):
    (submission / "mixer/model.py").write_text("# Copyright me\n" + "(" * 100_000)
    assert finding(submission, "port-code").status == "fail"


def test_a_placeholder_that_nothing_replaces(submission, edit):
    edit("fuxian.toml", "{checkpoint}", "{weights}")
    found = finding(submission, "commands")
    assert found.status == "fail"
    assert "{weights}" in found.what


def test_a_data_set_that_nobody_has(submission, edit):
    edit("fuxian.toml", "[team]", '[data]\nnowhere = "data"\n\n[team]')
    found = finding(submission, "commands")
    assert found.status == "fail"
    assert "'nowhere'" in found.what
