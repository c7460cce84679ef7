"""``fuxian align run PORT PORT --processes 2``: a faithful port is aligned, a mistake named, bad input refused."""

import json

import pytest

PORT = """
import numpy as np
import paddle
import paddle.distributed as dist
from fuxian import Recipe


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(1, 4, 3)
        self.bn = {norm}(4)
        self.drop = paddle.nn.Dropout(0.2)
        self.head = paddle.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.drop(paddle.nn.functional.relu(self.bn(self.conv(x))).mean((2, 3))))


def data():
    random = np.random.default_rng(0)
    return [
        {{
            "inputs": (random.standard_normal(({rows}, 1, 5, 5)).astype("float32"),),
            "targets": (random.integers(0, 3, {rows}),),
        }}
        for _ in range(2)
    ]


def recipe():
    return Recipe(
        model=Net,
        train_data=data,
        loss=lambda outputs, targets: paddle.nn.functional.cross_entropy(outputs, targets[0]){scale},
        optimizer=lambda model: paddle.optimizer.Adam(parameters=model.parameters()),
    )
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    def write(name="port.py", norm="paddle.nn.BatchNorm2D", rows=4, scale=""):
        (tmp_path / name).write_text(PORT.format(norm=norm, rows=rows, scale=scale))
        return name

    monkeypatch.chdir(tmp_path)
    return write


def test_a_faithful_port_is_aligned_and_its_own_statistics_are_said(write, fuxian):
    port = write()
    code, out, err = fuxian("align", "run", port, port, "--processes", 2, "--json")
    document = json.loads(out)
    verdicts = {stage["stage"]: stage["verdict"] for stage in document["stages"]}
    assert (code, document["verdict"]) == (0, "aligned"), (err, document)
    assert verdicts.pop("metric") == "not given"
    assert set(verdicts.values()) == {"aligned"}
    assert len(verdicts) == 7
    assert any("each process's own (1 layers" in note for note in document["notes"])


def test_statistics_over_the_processes_agree_and_a_loss_scaled_twice_is_named(write, fuxian, tmp_path):
    port = write(norm="paddle.nn.SyncBatchNorm", scale=" / dist.get_world_size()")
    report = tmp_path / "report.html"
    code, out, _ = fuxian("align", "run", port, port, "--processes", 2, "--json", "--report", report)
    document = json.loads(out)
    first = document["first_divergence"]
    verdicts = {stage["stage"]: stage["verdict"] for stage in document["stages"]}
    assert (code, verdicts["training_mode"]) == (1, "aligned")
    assert (first["stage"], first["place"]) == ("loss", "total")
    assert (first["cause"], first["certainty"]) == ("loss_scale", "proven")
    assert "loss_scale" in report.read_text()


@pytest.mark.parametrize(
    ("written", "options", "said"),
    [
        ({"rows": 5}, (), "cannot be shared by 2 processes"),
        ({}, ("--dtype", "float32"), "leave out --dtype"),
        ({}, ("--stages", "forward"), "none of these stages is compared on several processes"),
    ],
)
def test_bad_input_is_one_sentence(write, fuxian, written, options, said):
    port = write(**written)
    code, out, _ = fuxian("align", "run", port, port, "--processes", 2, "--json", *options)
    assert code == 2
    assert said in json.loads(out)["error"]
