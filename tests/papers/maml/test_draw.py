"""The test drawn for a ruling, through the contract."""

from dataclasses import replace

import numpy as np
import paddle
import pytest

from fuxian.papers.find import find_claim
from fuxian.papers.maml import draw as drawing
from fuxian.papers.maml.settings import SETTINGS
from fuxian.training.evaluate import evaluate

MAML, SINUSOID = find_claim("maml/sinusoid-10shot")
OMNIGLOT = MAML.paper.claim("omniglot-5way-5shot")


@pytest.fixture
def generated(monkeypatch):
    """Omniglot's claims on pictures of noise, 6 tasks."""
    small = {"generated": True, "test_tasks": 6, "test_tasks_at_once": 2}
    settings = {
        name: replace(setting, **small) if setting.ways else setting for name, setting in SETTINGS.items()
    }
    monkeypatch.setattr(drawing, "SETTINGS", settings)


def equal(first, second):
    pairs = zip([*first["inputs"], *first["targets"]], [*second["inputs"], *second["targets"]], strict=True)
    return [np.array_equal(a, b) for a, b in pairs]


@pytest.mark.parametrize("claim", [SINUSOID, OMNIGLOT], ids=lambda claim: claim.id)
def test_a_seed_draws_the_same_test_again_and_another_seed_another(generated, claim):
    first, again, other = (list(MAML.draw(claim, seed)) for seed in (2**255 + 1, 2**255 + 1, 2**255 + 2))
    assert all(all(equal(a, b)) for a, b in zip(first, again, strict=True))
    assert [batch["ids"] for batch in first] == [batch["ids"] for batch in again]
    assert not any(equal(a, b)[2] or equal(a, b)[0] for a, b in zip(first, other, strict=True))
    ids = [name for batch in first for name in batch["ids"]]
    assert len(set(ids)) == len(ids) == sum(len(batch["targets"][0]) for batch in first)


def test_it_is_no_test_that_anyone_saw_before(generated):
    for seed in (0, 1_000_000):
        public = drawing.evaluation_tasks(drawing.SETTINGS[OMNIGLOT.id], seed)[0]
        assert not any(equal(MAML.draw(OMNIGLOT, seed)[0], public)[::2])
    assert MAML.has_public_labels(OMNIGLOT) and not MAML.has_public_labels(SINUSOID)


def test_queries_stand_in_a_drawn_order_with_their_own_targets(generated):
    drawn = MAML.draw(OMNIGLOT, 5)
    unmoved = drawn.tasks
    for before, after in zip(unmoved, drawn, strict=True):
        assert np.array_equal(before["inputs"][0], after["inputs"][0])
        for task in range(2):
            known = {picture.tobytes(): y.argmax() for picture, y in
                     zip(before["inputs"][2][task], before["targets"][0][task], strict=True)}  # fmt: skip
            found = [known[picture.tobytes()] for picture in after["inputs"][2][task]]
            assert found == after["targets"][0][task].argmax(-1).tolist()
    places = np.stack(
        [batch["targets"][0].argmax(-1) for seed in range(8) for batch in MAML.draw(OMNIGLOT, seed)]
    )
    assert len(np.unique(places.reshape(-1, 25), axis=0)) == 8 * 6, "no order twice"


def test_it_is_evaluated_as_the_claims_own_test_is():
    recipe = replace(MAML.recipe(SINUSOID), eval_data=lambda: list(MAML.draw(SINUSOID, 3))[:2])
    paddle.seed(0)
    found = evaluate(recipe, recipe.model())
    assert found.figures["mse_after_1"] > 0
    assert len(next(iter(MAML.draw(SINUSOID, 3)))["ids"]) == 25


def test_omniglots_test_is_drawn_from_the_test_characters(data_root):
    if not (data_root / "omniglot").is_dir():
        pytest.skip(f"Omniglot is not in {data_root}")
    batch = MAML.draw(MAML.paper.claim("omniglot-5way-1shot"), 7)[0]
    assert batch["inputs"][2].shape == (25, 5, 28, 28)
    assert set(np.unique(batch["inputs"][2])) <= {0.0, 1.0}
