import json

import numpy as np
import paddle
import pytest

from fuxian.errors import PlatformError
from fuxian.papers import shelf
from fuxian.papers.maml import export as exporter
from fuxian.papers.maml.export import export
from fuxian.papers.maml.model import OmniglotNet, SinusoidNet
from fuxian.papers.maml.predict import predict
from fuxian.papers.maml.task_folder import read_numbers, read_pictures

_, OMNIGLOT = shelf.find("maml/omniglot-5way-1shot")
_, SINUSOID = shelf.find("maml/sinusoid-10shot")


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def trained(net):
    """As if trained: no parameter keeps the value 0 that it starts with."""
    for parameter in net.parameters():
        parameter.set_value(parameter + 0.1 * paddle.randn(parameter.shape))
    return net


def test_the_written_classifier_predicts_as_predict_does(pictures, weights, out):
    paddle.seed(4)
    file = weights(trained(OmniglotNet()))
    made = export(OMNIGLOT, pictures, file, out)
    assert sorted(path.name for path in out.iterdir()) == ["labels.json", "model.json", "model.pdiparams"]
    assert made["checked_on"] == 6
    assert 0 <= made["max_difference"] < 1e-4
    labels = json.loads((out / "labels.json").read_text())
    network = paddle.jit.load(str(out / "model"))
    network.eval()
    predictions = predict(OMNIGLOT, pictures, file)["predictions"]
    logits = network(paddle.to_tensor(read_pictures(pictures, 5).query_x)).numpy()
    for one, row in zip(predictions, logits, strict=True):
        assert list(one["probabilities"]) == labels
        assert list(one["probabilities"].values()) == pytest.approx(np.exp(row) / np.exp(row).sum(), abs=1e-4)
    # The number of pictures is free, and their statistics are their own.
    (pictures / "query" / "0.png").unlink()
    predictions = predict(OMNIGLOT, pictures, file)["predictions"]
    fewer = network(paddle.to_tensor(read_pictures(pictures, 5).query_x)).numpy()
    assert np.abs(fewer - logits[1:]).max() > 1e-3
    for one, row in zip(predictions, fewer, strict=True):
        assert list(one["probabilities"].values()) == pytest.approx(np.exp(row) / np.exp(row).sum(), abs=1e-4)


def test_the_written_regressor_predicts_as_predict_does(numbers, weights, out):
    paddle.seed(5)
    file = weights(trained(SinusoidNet()))
    made = export(SINUSOID, numbers, file, out, steps=3)
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "model.pdiparams"]
    assert (made["steps"], made["checked_on"]) == (3, 3)
    network = paddle.jit.load(str(out / "model"))
    network.eval()
    outputs = network(paddle.to_tensor(read_numbers(numbers).query_x)).numpy()
    predictions = predict(SINUSOID, numbers, file, steps=3)["predictions"]
    assert [one["y"] for one in predictions] == pytest.approx(outputs[:, 0], rel=1e-5)
    assert network(paddle.ones([7, 1])).shape == [7, 1]


def test_without_a_query_the_support_is_compared(numbers, weights, out):
    (numbers / "query.csv").unlink()
    assert export(SINUSOID, numbers, weights(trained(SinusoidNet())), out)["checked_on"] == 10


def test_a_network_that_predicts_otherwise_is_an_error(pictures, weights, out, monkeypatch):
    monkeypatch.setattr(exporter, "BATCH_NORM_EPSILON", 2e-3)
    with pytest.raises(PlatformError, match="the written network differs from `fuxian predict` by "):
        export(OMNIGLOT, pictures, weights(trained(OmniglotNet())), out)
