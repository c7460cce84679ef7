"""Prediction on tables that a user gives, and the exported network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError
from fuxian.papers.dmr import data
from fuxian.papers.dmr import predict as prediction
from fuxian.papers.dmr.export import export
from fuxian.papers.dmr.model import DMR
from fuxian.papers.dmr.predict import load_model, predict
from fuxian.papers.dmr.settings import MOVIES
from fuxian.weights import save_tensors

FILES = {
    "users.csv": "user,gender,age,occupation\nann,F,31,artist\n<b>bob,M,17,student\n",
    "ratings.csv": "user,movie,rating,time\nann,5,4,2\nann,7,1,1\nann,9,5,3\n",
    "candidates.csv": "user,movie\nann,11\n<b>bob,12\nann,12\nann,40\n",
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Of a network that was not trained: what is asked here does not need it."""
    paddle.seed(3)
    model = DMR(MOVIES.layout)
    model.norm._mean.set_value(paddle.full_like(model.norm._mean, 0.01))
    file = tmp_path_factory.mktemp("weights") / "movielens.safetensors"
    save_tensors(file, {name: value.numpy() for name, value in model.state_dict().items()})
    return file


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """``folder(**changed)`` holds the three files; generated movies stand in for MovieLens'."""
    known = data.made_of(data.generated(60, each=10), MOVIES.layout.steps)
    monkeypatch.setattr(prediction, "clicks", lambda layout: known)

    def made(**changed: str) -> Path:
        place = tmp_path / "asked"
        place.mkdir()
        for name, content in FILES.items():
            (place / name).write_text(changed.get(name.partition(".")[0], content))
        return place

    return made


def test_candidates_are_scored_and_ranked_user_by_user(folder, tmp_path, weights):
    (tmp_path / "out").mkdir()
    found = predict("movielens", folder(), weights, tmp_path / "out", best=2)
    assert [row["user"] for row in found.rows] == ["ann", "ann", "ann", "<b>bob"]
    own = [row["score"] for row in found.rows[:3]]
    assert own == sorted(own, reverse=True) and 0 < own[0] < 1
    page = found.views[0].read_text()
    assert "&lt;b&gt;bob" in page and "<b>bob" not in page and "1 more" in page
    # Newest first, by the times given and not by the order of lines.
    assert "movie 9, movie 5, movie 7" in page and "nothing yet" in page


def test_contributions_are_what_changes_when_a_relevance_is_ordinary(folder, tmp_path, weights):
    (tmp_path / "out").mkdir()
    rows = predict("movielens", folder(), weights, tmp_path / "out").rows
    model = load_model(weights)
    asked = prediction.read_folder(tmp_path / "asked", prediction.clicks(MOVIES.layout))
    inputs = tuple(map(paddle.to_tensor, asked.inputs))
    seen, found = model.features(*inputs)
    for name in ("u2i", "i2i"):
        np.testing.assert_allclose(seen[:, model.columns[name]].numpy(), found[name].numpy())
        changed = seen.clone()
        changed[:, model.columns[name]] = 0.01
        moved = (model.rank(seen) - model.rank(changed)).numpy()
        told = {(row["user"], row["movie"]): row[f"by_{name}"] for row in rows}
        for at, (user, movie) in enumerate(zip(asked.users, asked.movies, strict=True)):
            assert told[user, int(movie)] == pytest.approx(moved[at], abs=1e-5)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"users": "user,age\n"}, r"users\.csv must begin with the line user,gender,age,occupation"),
        ({"users": "user,gender,age,occupation\nann,X,31,artist\n"}, "line 2: the gender is 'X'"),
        ({"users": "user,gender,age,occupation\nann,F,old,artist\n"}, "line 2: 'old' is no whole number"),
        ({"users": "user,gender,age,occupation\nann,F,31,pilot\n"}, "occupation 'pilot' is not known"),
        ({"users": FILES["users.csv"] + "ann,F,31,artist\n"}, "user 'ann' stands twice"),
        ({"ratings": "user,movie,rating,time\nann,5,6,2\n"}, "line 2: '6' is no whole number from 1 to 5"),
        ({"ratings": "user,movie,rating,time\nann,61,5,2\n"}, "'61' is no whole number from 1 to 60"),
        ({"ratings": "user,movie,rating,time\nann,5,5,nan\n"}, "the time 'nan' is no number"),
        ({"ratings": "user,movie,rating,time\nann,5,5\n"}, "line 2: 3 fields"),
        ({"candidates": "user,movie\neve,5\n"}, r"user 'eve' is not in users\.csv"),
        ({"candidates": "user,movie\n"}, "has no candidate"),
    ],
)
def test_wrong_files_are_one_sentence(folder, tmp_path, weights, changed, sentence):
    with pytest.raises(InputError, match=sentence):
        predict("movielens", folder(**changed), weights, tmp_path)


def test_other_claims_weights_and_paths_are_refused(folder, tmp_path, weights):
    with pytest.raises(InputError, match="take dmr/movielens"):
        predict("alimama", tmp_path, weights, tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        predict("movielens", tmp_path / "absent", weights, tmp_path)
    save_tensors(tmp_path / "other.safetensors", {"w": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="give weights of dmr/movielens"):
        load_model(tmp_path / "other.safetensors")


def test_the_exported_network_gives_the_scores_of_predict(tmp_path, weights):
    made = export("movielens", weights)
    spec = [
        paddle.static.InputSpec([None, *array.shape[1:]], str(array.dtype), one.name)
        for array, one in zip(made.examples, made.inputs, strict=True)
    ]
    paddle.jit.save(made.network, str(tmp_path / "model"), input_spec=spec)
    again = paddle.jit.load(str(tmp_path / "model"))
    again.eval()
    outputs = again(*(paddle.to_tensor(array[:3]) for array in made.examples))
    for output, expected in zip(outputs, made.expected, strict=True):
        np.testing.assert_allclose(output.numpy(), expected[:3], atol=1e-5)
