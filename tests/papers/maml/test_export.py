"""The exported network of an adapted MAML, through the contract and the exporter."""

import json

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.papers import exporting
from fuxian.papers.find import find_claim
from fuxian.papers.maml import export as exporter
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet
from fuxian.papers.maml.task_folder import read_numbers, read_pictures

MAML, SINUSOID = find_claim("maml/sinusoid-10shot")
OMNIGLOT = MAML.paper.claim("omniglot-5way-1shot")


def trained(net):
    """As if trained: no parameter keeps the value 0 that it starts with."""
    for parameter in net.parameters():
        parameter.set_value(parameter + 0.1 * paddle.randn(parameter.shape))
    return net


def predicted(claim, path, weights, out, **options):
    out.mkdir()
    return MAML.predict(claim, path, weights, out, options).rows


def test_the_written_classifier_predicts_as_predict_does(pictures, weights, tmp_path):
    paddle.seed(4)
    file, out = weights(trained(OmniglotNet())), tmp_path / "out"
    made = exporting.export(MAML, OMNIGLOT, file, out, {"task": pictures})
    assert made["files"] == ["inference.json", "model.json", "model.pdiparams"]
    description = json.loads((out / "inference.json").read_text())
    assert description["inputs"][0]["shape"] == ["batch", 28, 28]
    labels = description["outputs"][0]["labels"]
    assert description["check"]["examples"] == 6 and description["check"]["batches"] == [1, 6, 12]
    assert 0 <= description["check"]["max_difference"] < 5e-5
    network = paddle.jit.load(str(out / "model"))
    network.eval()
    rows = predicted(OMNIGLOT, pictures, file, tmp_path / "first")
    logits = network(paddle.to_tensor(read_pictures(pictures, 5).query_x)).numpy()
    for one, row in zip(rows, logits, strict=True):
        assert list(one["probabilities"]) == labels
        assert list(one["probabilities"].values()) == pytest.approx(np.exp(row) / np.exp(row).sum(), abs=1e-4)
    # The number of pictures is free, and their statistics are their own.
    (pictures / "query" / "0.png").unlink()
    rows = predicted(OMNIGLOT, pictures, file, tmp_path / "second")
    fewer = network(paddle.to_tensor(read_pictures(pictures, 5).query_x)).numpy()
    assert np.abs(fewer - logits[1:]).max() > 1e-3
    for one, row in zip(rows, fewer, strict=True):
        assert list(one["probabilities"].values()) == pytest.approx(np.exp(row) / np.exp(row).sum(), abs=1e-4)


def test_the_written_regressor_predicts_as_predict_does(numbers, weights, tmp_path):
    paddle.seed(5)
    file, out = weights(trained(SinusoidNet())), tmp_path / "out"
    made = exporting.export(MAML, SINUSOID, file, out, {"task": numbers, "steps": 3})
    assert made["about"] == {"steps": 3, "support": 10}
    network = paddle.jit.load(str(out / "model"))
    network.eval()
    outputs = network(paddle.to_tensor(read_numbers(numbers).query_x)).numpy()
    rows = predicted(SINUSOID, numbers, file, tmp_path / "found", steps=3)
    assert [one["y"] for one in rows] == pytest.approx(outputs[:, 0], rel=1e-5)


def test_without_a_query_the_support_is_compared(numbers, weights):
    (numbers / "query.csv").unlink()
    made = MAML.export(SINUSOID, weights(trained(SinusoidNet())), {"task": numbers})
    assert [len(array) for array in made.examples] == [10]


def test_a_network_that_predicts_otherwise_is_an_error(pictures, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "BATCH_NORM_EPSILON", 2e-3)
    # In this process, so that what was changed here is what is written.
    request = {"name": "maml/omniglot-5way-1shot", "weights": weights(trained(OmniglotNet())), "out": tmp_path,
               "place": tmp_path, "options": {"task": str(pictures)}}  # fmt: skip
    exporting._write_all(request)
    with pytest.raises(PlatformError, match="the written network differs from `fuxian predict` by "):
        exporting.check(tmp_path, tmp_path)


def test_no_task_is_bad_input(pictures, weights, tmp_path):
    with pytest.raises(InputError, match="support"):
        exporting.export(
            MAML, OMNIGLOT, weights(OmniglotNet()), tmp_path / "out", {"task": tmp_path / "nowhere"}
        )
