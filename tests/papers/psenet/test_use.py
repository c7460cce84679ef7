"""The network at work: a training step, predictions on a user's pictures, the exported network, the drawn test."""

import json
from dataclasses import replace

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from fuxian.datasets.icdar2015 import Icdar2015
from fuxian.datasets.scene_text import Word
from fuxian.errors import InputError
from fuxian.papers.psenet import data
from fuxian.papers.psenet.draw import draw
from fuxian.papers.psenet.export import export
from fuxian.papers.psenet.model import PSENet
from fuxian.papers.psenet.predict import predict
from fuxian.papers.psenet.recipe import recipe
from fuxian.papers.psenet.rendered import render
from fuxian.papers.psenet.settings import SETTINGS
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit
from fuxian.weights import save_tensors

CLAIM = "ic15-own-split"
SMALL = replace(SETTINGS[CLAIM], rendered=1.0, crop=96, batch=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that calls every pixel text: its last layer's bias is high."""
    paddle.seed(0)
    setting = SETTINGS[CLAIM]
    model = PSENet(setting.depth, width=setting.width, pyramid=setting.pyramid)
    model.det_head.conv2.weight.set_value(0 * model.det_head.conv2.weight)
    model.det_head.conv2.bias.set_value(0 * model.det_head.conv2.bias + 3)
    file = tmp_path_factory.mktemp("weights") / "all-text.safetensors"
    save_tensors(file, {name: value.numpy() for name, value in model.state_dict().items()})
    return file


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path):
    parts = recipe(CLAIM, iterations=4, eval_split="validation", setting=SMALL)
    for folder, stops in (("whole", (4,)), ("halves", (2, 4))):
        for stop in stops:
            model = fit(parts, tmp_path / folder, seed=0, length=Length(iterations=stop, checkpoint_every=2))
    again = fit(parts, tmp_path / "whole", seed=0, length=Length(iterations=4))
    for name, value in model.state_dict().items():
        assert np.array_equal(value.numpy(), again.state_dict()[name].numpy()), name
    figures = evaluate(parts, model).figures
    assert set(figures) == {"precision", "recall", "hmean"}


def test_predictions_are_drawn_and_written_in_two_forms(weights, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir(), out.mkdir()
    Image.new("L", (150, 90), 128).save(folder / "grey.png")
    Image.fromarray(render(np.random.default_rng(0), 64)[0]).save(folder / "word.jpg")
    made = predict(CLAIM, folder, weights, out, short_side=64)
    assert [row["picture"] for row in made.rows] == ["grey.png", "word.jpg"]
    (polygon,), (score,) = made.rows[0]["polygons"], made.rows[0]["scores"]
    corners = np.array(polygon)
    assert (corners.min(0) <= 3).all() and (corners.max(0) >= (146, 86)).all()
    assert score == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-3)
    assert json.loads((out / "grey.png.json").read_text()) == made.rows[0]
    assert (out / "res_grey.png.txt").read_text() == ",".join(map(str, corners.ravel())) + "\n"
    assert [view.name for view in made.views] == ["grey.png.png", "word.jpg.png"]
    view = cv2.imread(str(made.views[0]))
    assert view.shape == (90, 150, 3) and (view != 128).any()


def test_contours_and_scores_can_be_asked_for(weights, tmp_path):
    file = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(file)
    contour = predict(CLAIM, file, weights, tmp_path, outline="contour", short_side=64)
    assert len(contour.rows[0]["polygons"]) == 1
    none = predict(CLAIM, file, weights, tmp_path, min_score=0.99, short_side=64)
    assert none.rows[0]["polygons"] == [] and none.views[0].is_file()


def test_what_is_no_picture_is_refused(weights, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        predict(CLAIM, tmp_path / "a.png", weights, tmp_path)


def test_the_exported_network_takes_pictures_of_any_size(weights, tmp_path):
    made = export(CLAIM, weights)
    shape = [None if isinstance(size, str) else size for size in made.inputs[0].shape]
    paddle.jit.save(made.network, str(tmp_path / "model"), [paddle.static.InputSpec(shape, "float32")])
    written = paddle.jit.load(str(tmp_path / "model"))
    written.eval()
    for pictures in (made.examples[0], np.random.default_rng(0).random((1, 3, 64, 96), np.float32)):
        expected = made.network(paddle.to_tensor(pictures)).numpy()
        assert np.abs(written(paddle.to_tensor(pictures)).numpy() - expected).max() < 5e-5
    assert np.abs(made.network(paddle.to_tensor(made.examples[0])).numpy() - made.expected[0]).max() < 5e-5


def test_the_drawn_test_is_new_each_time_and_keeps_its_words_in_place(monkeypatch):
    jpegs = [cv2.imencode(".png", np.full((360, 640, 3), 40 * n, np.uint8))[1].tobytes() for n in range(5)]
    middle, edge = (
        np.array([(300, 150), (360, 150), (360, 180), (300, 180)]),
        np.array([(0, 0), (9, 0), (9, 9), (0, 9)]),
    )
    words = tuple((Word(middle.astype(float), "word"), Word(edge.astype(float), "cut")) for _ in jpegs)
    test = data.Evaluation(SETTINGS[CLAIM], Icdar2015(tuple(range(5)), words, tuple(jpegs)), np.arange(5))
    monkeypatch.setattr(data, "evaluation", lambda *_: test)
    first, again, other = (list(draw(CLAIM, seed)) for seed in (1, 1, 2))
    assert [batch["ids"] for batch in first] == [[f"picture-{n}"] for n in range(5)]
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one["inputs"][0], same["inputs"][0])
    assert any(
        one["inputs"][0].shape != two["inputs"][0].shape
        or not np.array_equal(one["inputs"][0], two["inputs"][0])
        for one, two in zip(first, other, strict=True)
    )
    for batch in first:
        (size,), polygons, ignored = batch["targets"]
        assert size[0] >= 0.88 * 360 - 1 and size[1] >= 0.88 * 640 - 1
        assert np.ptp(polygons[0], axis=0).tolist() == [60, 30]
        assert not ignored[0]
    assert any(batch["targets"][2][1] for batch in first)
