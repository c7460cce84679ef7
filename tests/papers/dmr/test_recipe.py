"""The recipe trains, resumes and evaluates in each variant; the paper's own setting reads the official files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import paddle
import pytest

from fuxian.errors import InputError
from fuxian.papers.dmr import settings
from fuxian.papers.dmr.model import DMR, PReLU
from fuxian.papers.dmr.recipe import aligned, recipe
from fuxian.papers.dmr.reference.cases import case
from fuxian.papers.dmr.settings import ALIMAMA, MOVIELENS, MOVIES, Setting, narrow
from fuxian.papers.find import find_claim
from fuxian.training.evaluate import evaluate
from fuxian.training.fit import Length, fit

SMALL = Setting(narrow(MOVIELENS), batch=16, learning_rate=0.02)


@pytest.mark.parametrize("variant", ["dmr", "u2i", "i2i", "din", "lr"])
def test_every_variant_learns_which_half_of_the_movies_a_user_likes(tmp_path, variant):
    heard = {}
    parts = recipe(iterations=60, setting=SMALL, variant=variant)
    length = Length(iterations=60, log_every=1, checkpoint_every=60)
    model = fit(parts, tmp_path, seed=0, length=length, progress=lambda s, f: heard.update({s: f}))
    early, late = (np.mean([heard[s]["click"] for s in steps]) for steps in (range(1, 11), range(51, 61)))
    assert late < early
    assert ("match" in heard[60]) == (variant in ("dmr", "u2i"))
    assert evaluate(parts, model).figures["auc"] > 0.55


def test_a_resumed_training_ends_in_the_same_weights(tmp_path):
    def trained(name, stops):
        for stop in stops:
            parts = recipe(iterations=8, setting=SMALL)
            length = Length(iterations=stop, log_every=1, checkpoint_every=3)
            model = fit(parts, tmp_path / name, seed=0, length=length)
        return {key: value.numpy() for key, value in model.state_dict().items()}

    whole, resumed = trained("whole", [8]), trained("resumed", [4, 8])
    for key, value in whole.items():
        np.testing.assert_array_equal(value, resumed[key])


def test_the_whole_of_the_papers_network_is_there():
    """54 trained variables and 101.4 million parameters, as the official code has them."""
    with paddle.LazyGuard():
        model = DMR(ALIMAMA)
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    assert len(trained) == 54
    assert round(sum(parameter.size for parameter in trained) / 1e6, 1) == 101.4


def test_steps_before_the_first_change_no_relevance():
    layout = narrow(ALIMAMA)
    paddle.seed(1)
    model = DMR(layout)
    model.eval()
    given = aligned("sampled").eval_data()[0]["inputs"][:6]
    none = given[1] == 0
    assert none.any() and not none.all()

    def relevances(behaviours: np.ndarray) -> dict[str, np.ndarray]:
        history = np.concatenate([behaviours[..., None], given[0][..., 1:]], -1)
        found = model(*map(paddle.to_tensor, (history, *given[1:])))
        return {name: found[name].numpy() for name in ("u2i", "i2i")}

    behaviours = given[0][..., 0]
    before = relevances(behaviours)
    masked = relevances(np.where(none, 3, behaviours))
    real = relevances(np.where(none, behaviours, behaviours % 4 + 1))
    some = ~none.all(1)
    for name, value in before.items():
        np.testing.assert_array_equal(value, masked[name])
        assert (np.abs(value - real[name])[some] > 0).mean() > 0.8


def test_a_score_does_not_depend_on_its_neighbours():
    parts = recipe(setting=SMALL)
    model = parts.model()
    model.eval()
    inputs = tuple(map(paddle.to_tensor, parts.eval_data()[0]["inputs"]))
    whole, few = model(*inputs)["click"].numpy(), model(*(one[:3] for one in inputs))["click"].numpy()
    np.testing.assert_allclose(whole[:3], few, rtol=1e-5, atol=1e-6)


def test_the_slope_below_zero_is_one_for_each_channel():
    layer = PReLU(2)
    layer.slope.set_value(np.array([0.5, -1.0], np.float32))
    np.testing.assert_allclose(layer(paddle.to_tensor([[2.0, 2.0], [-2.0, -2.0]])), [[2, 2], [-1, 2]])


def test_the_weight_of_the_match_and_the_samples_reach_the_loss():
    parts = aligned("sampled")
    batch = parts.eval_data()[0]
    model = parts.model()
    model.train()
    outputs = parts.forward(model, tuple(map(paddle.to_tensor, batch["inputs"])))
    losses = parts.loss(outputs, tuple(map(paddle.to_tensor, batch["targets"])))
    assert outputs["match"].shape == [16, 11]
    total = float(losses["click"]) + 0.1 * float(losses["match"])
    assert float(losses["total"]) == pytest.approx(total, rel=1e-6)


def test_the_papers_setting_trains_on_the_official_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    made = case("made-up")
    small = Setting(replace(made.layout, hidden=(8, 4)), sampled=50, batch=16)
    monkeypatch.setitem(settings.PAPER, "alimama", small)
    with pytest.raises(InputError, match=r"alimama\.txt is not there"):
        recipe("alimama").train_data()
    (tmp_path / "alimama").mkdir()
    for name in ("alimama.txt", "alimama_test.txt"):
        np.savetxt(tmp_path / "alimama" / name, np.concatenate(made.batches), fmt="%.9g", delimiter=",")
    parts = recipe("alimama", iterations=6)
    heard = {}
    length = Length(iterations=6, log_every=1, checkpoint_every=6)
    model = fit(parts, tmp_path / "run", seed=0, length=length, progress=lambda s, f: heard.update({s: f}))
    assert heard[6]["match"] > 0
    assert 0 <= evaluate(parts, model).figures["auc"] <= 1


def test_a_recipe_is_made_without_data(tmp_path, monkeypatch):
    monkeypatch.setenv("FUXIAN_DATA", str(tmp_path))
    parts = recipe(setting=Setting(replace(MOVIELENS, steps=21)))
    assert len(parts.model().i2i.context.position.weight) == 21
    with pytest.raises(InputError, match=r"u\.data"):
        parts.eval_data()


def test_the_papers_rows_stand_in_the_paper_and_have_a_setting():
    folder, _ = find_claim("dmr")
    rows = {claim.id for claim in folder.paper.claims if claim.scope == "paper"}
    assert rows == set(settings.PAPER)
    assert MOVIES.layout == MOVIELENS
