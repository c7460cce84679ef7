"""An exported network is tried with and without oneDNN, and its description says which it is to be run with."""

import json

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError, PlatformError
from fuxian.training.inference import DESCRIPTION, PLACEMENT, describe_export, described, predictor


def exported(folder, *layers, shape=(None, 3, 16, 16)):
    network = paddle.nn.Sequential(*layers)
    network.eval()
    paddle.jit.save(network, str(folder / "model"), input_spec=[paddle.static.InputSpec(list(shape))])
    return network


def ran(folder, images):
    made = predictor(folder)
    made.get_input_handle(made.get_input_names()[0]).copy_from_cpu(images)
    made.run()
    return made.get_output_handle(made.get_output_names()[0]).copy_to_cpu()


def test_leaky_relu_after_batch_norm_runs_whatever_onednn_does(tmp_path):
    network = exported(
        tmp_path, paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4), paddle.nn.LeakyReLU(0.2)
    )
    found = describe_export(tmp_path)
    assert json.loads((tmp_path / DESCRIPTION).read_text()) == found
    assert found["onednn"] or "oneDNN" in found["why"]
    images = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    expected = network(paddle.to_tensor(images)).numpy()
    np.testing.assert_allclose(ran(tmp_path, images), expected, rtol=1e-4, atol=1e-5)


def test_what_onednn_refuses_runs_with_it_for_fused_layers(tmp_path):
    network = exported(
        tmp_path,
        paddle.nn.Conv2D(3, 4, 3),
        paddle.nn.ReLU(),
        paddle.nn.Upsample(scale_factor=2, mode="bilinear"),
    )
    found = describe_export(tmp_path)
    assert found["onednn"]
    assert found == {"onednn": True} or (found["without_passes"] == [PLACEMENT] and "fails" in found["why"])
    images = np.random.default_rng(0).random((2, 3, 16, 16), dtype=np.float32)
    expected = network(paddle.to_tensor(images)).numpy()
    np.testing.assert_allclose(ran(tmp_path, images), expected, rtol=1e-4, atol=1e-5)


def test_a_description_takes_out_no_other_pass(tmp_path):
    (tmp_path / DESCRIPTION).write_text('{"onednn": true, "without_passes": ["conv_bn_fuse_pass"]}')
    assert described(tmp_path) == {"onednn": True, "without_passes": [], "why": ""}


def test_an_example_is_what_it_is_tried_on(tmp_path):
    exported(tmp_path, paddle.nn.Linear(3, 2), shape=(None, 3))
    assert describe_export(tmp_path, [np.ones((5, 3), np.float32)]) == {"onednn": True}
    with pytest.raises(PlatformError, match="does not run"):
        describe_export(tmp_path, [np.ones((5, 4), np.float32)])


def test_without_a_description_onednn_stays_off(tmp_path):
    assert described(tmp_path) == {"onednn": False, "without_passes": [], "why": ""}
    (tmp_path / DESCRIPTION).write_text("[]")
    assert not described(tmp_path)["onednn"]
    with pytest.raises(InputError, match="no exported network"):
        predictor(tmp_path)
