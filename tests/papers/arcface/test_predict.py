"""Prediction on pictures that a user gives, and the exported network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image

from fuxian.errors import InputError
from fuxian.papers.arcface.export import export
from fuxian.papers.arcface.predict import cluster, load_embedder, predict
from fuxian.papers.arcface.recipe import FoldNetworks
from fuxian.papers.arcface.settings import FOLDS
from fuxian.weights import save_tensors


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Of networks that were not trained: what is asked here does not need it."""
    paddle.seed(3)
    networks = FoldNetworks(FOLDS, [5, 7], "arcface")
    file = tmp_path_factory.mktemp("weights") / "lfw-folds.safetensors"
    save_tensors(file, {name: value.numpy() for name, value in networks.state_dict().items()})
    return file


def _face(seed: int, size: tuple[int, int] = (70, 60)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def _folder(path: Path, faces: dict[str, Image.Image]) -> Path:
    path.mkdir()
    for name, picture in faces.items():
        picture.save(path / name)
    return path


def test_two_pictures_are_one_person_or_not(tmp_path, weights):
    folder = _folder(tmp_path / "two", {"a.png": _face(1), "b.png": _face(1)})
    (tmp_path / "out").mkdir()
    found = predict("lfw-folds", folder, weights, tmp_path / "out", threshold=0.5)
    (row,) = found.rows
    assert row["same"] and row["score"] == pytest.approx(1.0, abs=1e-5)
    assert {row["first"], row["second"]} == {"a.png", "b.png"}
    assert found.views == [tmp_path / "out" / "pair.png"]
    assert not predict("lfw-folds", folder, weights, tmp_path / "out", threshold=1.5).rows[0]["same"]


def test_a_folder_falls_into_people(tmp_path, weights):
    same = {f"one{n}.png": _face(1) for n in range(3)}
    folder = _folder(
        tmp_path / "many", {**same, "grey.png": Image.new("L", (40, 40), 90), "other.png": _face(9)}
    )
    (tmp_path / "out").mkdir()
    found = predict("lfw-folds", folder, weights, tmp_path / "out", threshold=0.999)
    people = {row["picture"]: row["person"] for row in found.rows}
    assert {people[name] for name in same} == {1} and found.about["people"] == 3
    nearest = {row["picture"]: row["nearest"] for row in found.rows}
    assert nearest["one0.png"] in ("one1.png", "one2.png")
    with Image.open(found.views[0]) as sheet:
        assert sheet.width > 200


def test_clusters_are_by_mean_score():
    scores = np.array([[1, 0.9, 0.2, 0.1], [0.9, 1, 0.3, 0.2], [0.2, 0.3, 1, 0.8], [0.1, 0.2, 0.8, 1]])
    assert cluster(scores, 0.5).tolist() == [1, 1, 2, 2]
    assert cluster(scores, 0.19).tolist() == [1, 1, 1, 1]
    assert sorted(cluster(scores, 0.95).tolist()) == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_are_one_sentence(tmp_path, weights, count):
    folder = _folder(tmp_path / "few", {f"{n}.png": _face(n) for n in range(count)})
    with pytest.raises(InputError, match="few"):
        predict("lfw-folds", folder, weights, tmp_path)


def test_weights_of_something_else_are_refused(tmp_path):
    save_tensors(tmp_path / "other.safetensors", {"w": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match=r"arcface/lfw-folds"):
        load_embedder(tmp_path / "other.safetensors")


def test_the_exported_network_gives_the_scores_of_predict(tmp_path, weights):
    made = export("lfw-folds", weights)
    (pictures,), (expected,) = made.examples, made.expected
    spec = [paddle.static.InputSpec([None, *pictures.shape[1:]], "float32", "pictures")]
    paddle.jit.save(made.network, str(tmp_path / "model"), input_spec=spec)
    again = paddle.jit.load(str(tmp_path / "model"))
    again.eval()
    np.testing.assert_allclose(again(paddle.to_tensor(pictures[:3])).numpy(), expected[:3], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1.0, rtol=1e-5)
    assert made.outputs[0].shape == ("batch", expected.shape[1])
