"""Predictions of a reproduced paper are scored by its own targets and metric, whatever the submission's code says."""

from types import SimpleNamespace

import numpy as np
import pytest

from fuxian.papers.maml.recipe import recipe
from fuxian.submission.manifest import load_manifest
from fuxian.verify import score_by_recipe as module
from fuxian.verify.reasons import Failed, Reason
from fuxian.verify.score_by_recipe import score_by_recipe, scored_by_recipe

CLAIM = "sinusoid-10shot"
STEPS = 11


@pytest.fixture(scope="module")
def targets():
    return [batch["targets"][0] for batch in recipe(CLAIM).eval_data()]


@pytest.fixture
def scored(tmp_path, monkeypatch):
    (tmp_path / "fuxian.toml").write_text(f'paper = "maml"\nclaims = ["{CLAIM}"]\nrecipe = "recipe.py"\n')
    manifest = load_manifest(tmp_path)
    assert scored_by_recipe(manifest)
    monkeypatch.setattr(module, "run_command", lambda *_, **__: SimpleNamespace(made=tmp_path))
    (tmp_path / "out").mkdir()

    def go(arrays):
        np.savez(tmp_path / "out/predictions.npz", **arrays)
        return score_by_recipe(SimpleNamespace(manifest=manifest, claim=manifest.claim()))

    return go


def predictions(targets, error):
    return {f"{number:04d}.0": np.stack([one + error] * STEPS) for number, one in enumerate(targets)}


def test_the_figure_is_the_papers_metric_of_the_predictions(scored, targets):
    measured = scored(predictions(targets, np.float32(0.5)))
    (run,) = measured.measurements.runs
    assert run.value == pytest.approx(0.25, rel=1e-5)
    assert len(run.examples) == 600
    assert (measured.how, measured.labels) == ("predictions scored by the paper's recipe", "public labels")


def without_a_batch(arrays):
    del arrays["0003.0"]


def with_one_more(arrays):
    arrays["9999.0"] = arrays["0000.0"]


def not_finite(arrays):
    arrays["0001.0"][0, 0] = np.nan


def of_another_shape(arrays):
    arrays["0002.0"] = arrays["0002.0"][:, :7]


def words(arrays):
    arrays["0000.0"] = np.array(["0.1"])


@pytest.mark.parametrize("spoil", [without_a_batch, with_one_more, not_finite, of_another_shape, words])
def test_what_cannot_be_scored_is_rejected(scored, targets, spoil):
    arrays = predictions(targets, np.float32(0.5))
    spoil(arrays)
    with pytest.raises(Failed) as failed:
        scored(arrays)
    assert failed.value.reason in (Reason.METRIC_INVALID, Reason.METRIC_MISSING)


def test_a_paper_of_the_submissions_own_is_not_scored_so(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    text = (module.reproduced_papers()["maml"]).read_text()
    (own / "paper.toml").write_text(
        text[: text.index("[[claim]]")] + text[text.index("[[claim]]", text.index("[[claim]]") + 1) :]
    )
    (own / "fuxian.toml").write_text(
        'paper = "paper.toml"\nclaims = ["omniglot-5way-1shot"]\nrecipe = "recipe.py"\n'
    )
    assert not scored_by_recipe(load_manifest(own))
