"""The detector at work: training, figures, predictions on a user's pictures, the exported network, the drawn test."""

import json
from dataclasses import replace

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image

from fuxian.datasets.detection import AnnotatedImage, DetectionSet
from fuxian.errors import InputError
from fuxian.papers.sparse_rcnn import data, draw, settings
from fuxian.papers.sparse_rcnn.detect import detections
from fuxian.papers.sparse_rcnn.export import export
from fuxian.papers.sparse_rcnn.model import SparseRCNN
from fuxian.papers.sparse_rcnn.predict import predict
from fuxian.papers.sparse_rcnn.recipe import factor, metric, recipe
from fuxian.papers.sparse_rcnn.settings import ALIGNED, SETTINGS
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit
from fuxian.weights import save_tensors

CLAIM = "bccd"
SMALL = ALIGNED["bccd"]
OF_CELLS = replace(SMALL, network=replace(SMALL.network, classes=3), data="bccd")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A detector whose every proposal stays the whole picture and is surely a white cell."""
    paddle.seed(0)
    model = SparseRCNN(OF_CELLS.network)
    for stage in model.head.head_series:
        for layer, bias in ((stage.bboxes_delta, [0.0] * 4), (stage.class_logits, [-3.0, 3.0, -3.0])):
            layer.weight.set_value(0 * layer.weight)
            layer.bias.set_value(np.array(bias, np.float32))
    file = tmp_path_factory.mktemp("weights") / "bccd.safetensors"
    save_tensors(file, {name: value.numpy() for name, value in model.state_dict().items()})
    return file


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setitem(settings.SETTINGS, CLAIM, OF_CELLS)


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path):
    """On pictures among which are an empty one, a crowd and a box without area."""
    parts = recipe(CLAIM, iterations=4, setting=SMALL)
    for folder, stops in (("whole", (4,)), ("halves", (2, 4))):
        for stop in stops:
            model = fit(parts, tmp_path / folder, seed=0, length=Length(iterations=stop, checkpoint_every=2))
    again = fit(parts, tmp_path / "whole", seed=0, length=Length(iterations=4))
    for name, value in model.state_dict().items():
        assert np.array_equal(value.numpy(), again.state_dict()[name].numpy()), name
    figures = evaluate(parts, model).figures
    assert set(figures) == {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}


def test_a_hundred_and_five_hundred_boxes_train_and_are_evaluated(tmp_path, monkeypatch):
    """More objects than proposals: each proposal gets one, the others none."""
    rng = np.random.default_rng(0)
    content = cv2.imencode(".png", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    images = []
    for number, count in enumerate((1, 500)):
        low = rng.uniform(0, 40, (count, 2))
        corners = np.concatenate([low, low + rng.uniform(2, 20, (count, 2))], 1)
        kinds = rng.integers(0, 5, count)
        images.append(AnnotatedImage("a.png", corners, kinds, np.zeros(count, bool), np.ones(count), number))
    full = DetectionSet(tuple("abcde"), (1, 2, 3, 4, 5), tuple(images), {"a.png": content})
    monkeypatch.setattr(data, "load", lambda *_: full)
    parts = recipe(CLAIM, iterations=1, setting=SMALL)
    model = fit(parts, tmp_path / "run", seed=0, length=Length(iterations=1))
    assert evaluate(parts, model).units["ap"].n == 2


def test_the_learning_rate_rises_and_falls_as_officially():
    paper = SETTINGS["coco-r50-100"]
    rates = [factor(step, paper, 270_000) for step in (0, 500, 1000, 209_999, 210_000, 250_000)]
    assert rates == pytest.approx([0.01, 0.505, 1, 1, 0.1, 0.01])


def test_perfect_outputs_have_the_best_figure_and_stages_are_told_apart():
    pictures = data.load(SMALL, "test")
    first, last = metric(0), metric()
    for batch in data.Evaluation(replace(SMALL, test_batch=2), pictures):
        true, kinds, crowd, _, size, seen = batch["targets"]
        wanted = (kinds >= 0) & ~crowd
        logits = np.full((2, len(kinds), true.shape[1], 5), -9.0)
        for picture, place in zip(*np.nonzero(wanted), strict=True):
            logits[1, picture, place, kinds[picture, place]] = 9
        scale = (seen / size)[:, None, [1, 0, 1, 0]]
        outputs = logits, np.stack([true * 0.1, true * scale])
        first.update(outputs, batch["targets"])
        last.update(outputs, batch["targets"])
    assert last.figures()["ap50"] > 0.5 > first.figures()["ap50"]


def test_detections_are_the_best_scores_within_the_picture():
    logits = np.array([[3.0, -1.0], [2.0, 2.5], [-5.0, 1.0]])
    found = detections(
        logits,
        np.array([[-10.0, 0, 20, 20], [30, 30, 60, 90], [70, 0, 80, 10]]),
        np.array([50.0, 60.0]),
        np.array([100, 120]),
    )
    assert found.classes.tolist() == [0, 1, 0]
    assert found.boxes.tolist() == [[0, 0, 40, 40], [60, 60, 120, 100], [60, 60, 120, 100]]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-np.array([3.0, 2.5, 2.0]))))


def test_predictions_are_drawn_and_written_as_cocos_results(weights, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    folder.mkdir(), out.mkdir()
    Image.new("L", (150, 90), 128).save(folder / "a.png")
    Image.new("RGB", (40, 60), (9, 9, 9)).save(folder / "a.jpg")
    made = predict(CLAIM, folder, weights, out, threshold=0.5)
    assert [row["picture"] for row in made.rows] == ["a.jpg", "a.png"]
    row = made.rows[1]
    assert set(row["classes"]) == {"WBC"} and len(row["boxes"]) == SMALL.network.proposals
    np.testing.assert_allclose(row["boxes"], np.tile([0, 0, 150, 90], (12, 1)), atol=0.1)
    results = json.loads((out / "detections.json").read_text())
    assert len(results) == 24 and {one["image_id"] for one in results} == {1, 2}
    assert {one["category_id"] for one in results} == {2}
    assert [view.name for view in made.views] == ["a.jpg.png", "a.png.png"]
    view = cv2.imread(str(made.views[1]))
    assert view.shape == (90, 150, 3) and (view != 128).any()
    assert predict(CLAIM, folder, weights, out, threshold=0.99).rows[0]["boxes"] == []


def test_what_is_no_picture_is_refused(weights, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        predict(CLAIM, tmp_path / "a.png", weights, tmp_path)


def test_the_exported_network_takes_pictures_of_any_size(weights, tmp_path):
    made = export(CLAIM, weights)
    spec = [
        paddle.static.InputSpec([None if isinstance(n, str) else n for n in one.shape], one.dtype, one.name)
        for one in made.inputs
    ]
    paddle.jit.save(made.network, str(tmp_path / "model"), spec)
    written = paddle.jit.load(str(tmp_path / "model"))
    written.eval()
    other = (
        np.random.default_rng(0).random((1, 3, 96, 64), np.float32),
        np.array([[90.0, 64.0]], np.float32),
    )
    for inputs in (made.examples, other):
        tensors = tuple(map(paddle.to_tensor, inputs))
        for one, wanted in zip(written(*tensors), made.network(*tensors), strict=True):
            assert np.abs(one.numpy() - wanted.numpy()).max() < 5e-5 * max(1, np.abs(wanted.numpy()).max())
    assert made.outputs[0].labels == ("RBC", "WBC", "Platelets")


def test_the_drawn_test_is_new_each_time_and_keeps_its_boxes_in_place():
    """Rectangles in their class's colour: what is drawn still shows them under their boxes."""
    test = data.generated(7, 3, count=6)
    first, again, other = (list(draw.drawn(OF_CELLS, test, seed)) for seed in (1, 1, 2))
    assert [batch["ids"] for batch in first] == [[f"picture-{n:06d}"] for n in range(6)]
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one["inputs"][0], same["inputs"][0])
    assert any(
        one["inputs"][0].shape != two["inputs"][0].shape
        or not np.allclose(one["inputs"][0], two["inputs"][0])
        for one, two in zip(first, other, strict=True)
    )
    row = max(range(6), key=lambda n: len(test.images[n].boxes))
    for seed in range(8):
        picture, image = draw.changed(test.picture(row), test.images[row], seed, row, OF_CELLS)
        assert image.boxes.min() >= 0 and (image.boxes[:, 2:].max(0) <= picture.shape[1::-1]).all()
        # The last rectangle lies over the others.
        x1, y1, x2, y2 = image.boxes[-1].astype(int)
        inside = picture[y1:y2, x1:x2].reshape(-1, 3).astype(float)
        if len(inside):
            assert inside.std(0).max() < 3, seed
