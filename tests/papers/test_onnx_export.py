"""Exported networks in ONNX, as ONNX Runtime runs them."""

import json

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.papers import exporting, onnx_export
from fuxian.papers.contract import ExportedInput, ExportedNetwork, ExportedOutput

INPUT = [{"name": "pictures", "shape": ["batch", 3, "height", "width"]}]
OUTPUT = [{"name": "scores", "shape": ["batch", 4]}]


@pytest.fixture
def onnx_packages():
    for name in onnx_export.PACKAGES:
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'fuxian[onnx]')")


class Pooled(paddle.nn.Layer):
    """Scores [N, 4] of pictures, by ``last`` of what a convolution gives."""

    def __init__(self, last):
        super().__init__()
        self.conv, self.last = paddle.nn.Conv2D(3, 4, 3), last

    def forward(self, pictures):
        return self.last(self.conv(pictures).mean([2, 3]))


def written(folder, last, examples):
    network = Pooled(last)
    network.eval()
    with paddle.no_grad():
        expected = network(paddle.to_tensor(examples)).numpy()
    made = ExportedNetwork(
        network=network,
        inputs=(
            ExportedInput(name="pictures", dtype="float32", shape=("batch", 3, "h", "w"), preprocessing=""),
        ),
        outputs=(ExportedOutput(name="scores", shape=("batch", 4), meaning="scores"),),
        examples=(examples,),
        expected=(expected,),
    )
    exporting.write(made, folder)
    np.savez(folder / "examples.npz", example0=examples, expected0=expected)
    (folder / "free_batch.json").write_text(json.dumps(True))
    return expected


def test_names_and_free_dimensions_are_the_descriptions_and_outputs_the_networks(tmp_path, onnx_packages):
    import onnx

    examples = np.random.default_rng(0).random((3, 3, 8, 9), dtype=np.float32)
    expected = written(tmp_path, paddle.nn.functional.sigmoid, examples)
    assert onnx_export.convert(tmp_path, INPUT, OUTPUT) == {"file": "model.onnx", "opset": 17}
    graph = onnx.load(tmp_path / "model.onnx").graph
    shapes = {
        port.name: [one.dim_param or one.dim_value for one in port.type.tensor_type.shape.dim]
        for port in (*graph.input, *graph.output)
    }
    assert shapes == {"pictures": ["batch", 3, "height", "width"], "scores": ["batch", 4]}
    run = onnx_export.runner(tmp_path)
    np.testing.assert_allclose(run([examples])[0], expected, atol=1e-6)
    assert run([examples[:1, :, :5]])[0].shape == (1, 4)


def test_what_onnx_computes_otherwise_is_no_export(tmp_path, onnx_packages):
    examples = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    expected = written(tmp_path, paddle.nn.functional.relu, examples)
    request = {
        "out": tmp_path,
        "place": tmp_path,
        "inputs": INPUT,
        "outputs": OUTPUT,
        "onnx_one_at_a_time": "",
    }
    assert exporting.onnx(request)["batches"] == [1, 2, 4]
    alone = exporting.onnx({**request, "onnx_one_at_a_time": "roi_align"})
    assert (alone["batches"], alone["one_at_a_time"]) == ([1], "roi_align")
    np.savez(tmp_path / "examples.npz", example0=examples, expected0=expected + 1e-3)
    with pytest.raises(PlatformError, match="ONNX network differs from `fuxian predict`"):
        exporting.onnx(request)


def test_an_operator_that_has_no_onnx_is_named(tmp_path, onnx_packages):
    written(tmp_path, paddle.lgamma, np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(PlatformError, match=r"does not know lgamma; export it without --onnx\.$"):
        onnx_export.convert(tmp_path, INPUT, OUTPUT)


def test_packages_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "PACKAGES", ("fuxian_has_no_such", "json"))
    with pytest.raises(
        InputError,
        match=r"needs fuxian_has_no_such, which is not installed: type .*pip install -e '\.\[onnx\]'",
    ):
        onnx_export.require_packages()
