"""Who trains what, and the batches as functions of the seed."""

from __future__ import annotations

import numpy as np
import pytest

from fuxian.datasets import find_root
from fuxian.papers.arcface.data import PairBatches, TrainBatches, as_input, drawn_pairs, eval_pairs, faces
from fuxian.papers.arcface.settings import FOLDS, FoldSetting, for_alignment

SMALL = for_alignment(FOLDS)


def _people(setting: FoldSetting) -> tuple[list[set[str]], list[set[str]], set[str]]:
    known = faces(setting)
    trained = [{known.data.faces[i][0] for i in known.training(folds)[0]} for folds in setting.groups]
    return trained, [known.people(folds) for folds in setting.groups], set(known.validation)


@pytest.mark.parametrize("setting", [SMALL, FOLDS], ids=["generated", "lfw"])
def test_nobody_is_tested_by_a_network_that_trained_on_them(setting):
    if not setting.generated and not (find_root() / "lfw" / "lfw.zip").is_file():
        pytest.skip("LFW is not on this machine")
    trained, tested, validation = _people(setting)
    for one, other in zip(trained, tested, strict=True):
        assert one and other and not one & other
        assert not one & validation
    known = faces(setting)
    for split in ("validation", "test"):
        for batch_number, pairs in PairBatches(known, eval_pairs(known, split, setting), setting).batches:
            shown = {person for pair in pairs for person, _ in (pair.first, pair.second)}
            assert not shown & trained[batch_number]


def test_batches_depend_on_seed_and_step_alone():
    known = faces(SMALL)
    one, again, other = (TrainBatches(known, SMALL, 20, seed) for seed in (0, 0, 1))
    for step in (0, 7, 19):
        for a, b in zip(one[step]["inputs"], again[step]["inputs"], strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(one[s]["targets"][0], other[s]["targets"][0]) for s in range(5))
    with pytest.raises(IndexError):
        one[20]


def test_an_epoch_shows_each_picture_once_at_most():
    known = faces(SMALL)
    batches = TrainBatches(known, SMALL, 3, 0)
    places = batches.parts[0][0]
    steps = len(places) // SMALL.batch
    seen = np.concatenate([batches[step]["targets"][0] for step in range(steps)])
    counts, available = (np.bincount(classes, minlength=9) for classes in (seen, batches.parts[0][1]))
    assert (counts <= available[: len(counts)]).all() and len(seen) == steps * SMALL.batch


def test_pictures_become_numbers_as_officially():
    image = np.array([[[[0, 127, 255]]]], np.uint8)
    assert as_input(image).ravel() == pytest.approx([(x / 255 - 0.5) / 0.5 for x in (0, 127, 255)])


def test_drawn_pairs_are_what_they_say():
    known = faces(SMALL)
    people = sorted(known.people(SMALL.groups[0]))
    pairs = drawn_pairs(known, people, 0, 40, np.random.default_rng(3))
    assert sum(pair.same for pair in pairs) == 40 and len(pairs) == 80
    for pair in pairs:
        assert pair.same == (pair.first[0] == pair.second[0]) and pair.first != pair.second
        assert {pair.first[0], pair.second[0]} <= set(people)
    again = drawn_pairs(known, people, 0, 40, np.random.default_rng(3))
    assert pairs == again != drawn_pairs(known, people, 0, 40, np.random.default_rng(4))
