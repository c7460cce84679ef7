"""Batches: what they hold, and that they depend on seed and number alone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from fuxian.datasets.icdar2015 import Icdar2015
from fuxian.datasets.scene_text import Word
from fuxian.papers.psenet import data, detect
from fuxian.papers.psenet.settings import SETTINGS

SETTING = replace(SETTINGS["ic15-own-split"], batch=4, rendered=0.25)


@pytest.fixture(scope="module")
def pictures():
    """Five pictures of noise with two words each, one of them unreadable."""
    rng = np.random.default_rng(0)
    jpegs = [
        cv2.imencode(".jpg", rng.integers(0, 256, (360, 640, 3), dtype=np.uint8))[1].tobytes()
        for _ in range(5)
    ]
    box = np.array([(0, 0), (90, 0), (90, 40), (0, 40)], float)
    words = tuple(
        (Word(box + np.array([200, 100]), "text"), Word(box + np.array([50, 250]), "###")) for _ in jpegs
    )
    return Icdar2015(tuple(range(1, 6)), words, tuple(jpegs))


def test_a_batch_depends_on_seed_and_number_alone(pictures):
    training = data.Training(SETTING, 100, 3, pictures, np.arange(5))
    again = data.Training(SETTING, 200, 3, pictures, np.arange(5))
    other = data.Training(SETTING, 100, 4, pictures, np.arange(5))
    training[0]
    (one,), targets = training[7]["inputs"], training[7]["targets"]
    assert np.array_equal(one, again[7]["inputs"][0])
    assert not np.array_equal(one, other[7]["inputs"][0])
    assert one.shape == (4, 3, 128, 128) and one.dtype == np.float32
    assert [target.shape for target in targets] == [(4, 128, 128), (4, 6, 128, 128), (4, 128, 128)]
    assert {*np.unique(np.concatenate([target.ravel() for target in targets]))} <= {0, 1}
    with pytest.raises(IndexError):
        training[100]


def test_each_epoch_sees_every_picture_once(pictures, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Icdar2015, "picture", lambda _, row: seen.append(int(row)) or np.zeros((360, 640, 3), np.uint8)
    )
    training = data.Training(SETTING, 10, 0, pictures, np.arange(5))
    for number in range(10):
        training[number]
    epochs = np.reshape(seen, (6, 5))
    assert (np.sort(epochs) == np.arange(5)).all()
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1


def test_labels_move_with_the_picture():
    """A white word on black: after any augmentation the text map is where the picture is bright."""
    picture = np.zeros((400, 600, 3), np.uint8)
    box = np.array([(200, 150), (400, 150), (400, 250), (200, 250)])
    cv2.fillPoly(picture, [box], (255, 255, 255))
    for seed in range(20):
        made, maps = data.augmented(
            picture, [box.astype(float)], [True], SETTING, np.random.default_rng(seed)
        )
        bright = made.max(2) > 100
        assert (bright ^ (maps[0] > 0)).sum() <= 0.06 * bright.sum() + 4, seed


def test_the_own_split_is_400_and_100_pictures_that_do_not_meet():
    train, test = data.own_split(500, "train"), data.own_split(500, "test")
    assert len(train) == 400 and len(test) == 100
    assert np.array_equal(np.sort([*train, *test]), np.arange(500))


def test_sides_are_multiples_of_32_and_long_pictures_stay_small():
    assert data.scaled_to_short_side(np.zeros((720, 1280, 3), np.uint8), 736).shape == (736, 1312, 3)
    assert max(data.scaled_to_short_side(np.zeros((2, 4000, 3), np.uint8), 736).shape) <= 4096 + 31


def test_rendered_words_are_found_from_their_own_labels():
    """Detection on perfect maps gives the words back: labels, expansion and outlines fit together."""
    from fuxian.papers.psenet import labels, protocol
    from fuxian.papers.psenet.rendered import render

    matched = truths = found = 0
    for seed in range(12):
        _, polygons = render(np.random.default_rng(seed), 320)
        maps = labels.draw(polygons, [True] * len(polygons), (320, 320))
        logits = np.where(maps[:-1] > 0, 5.0, -5.0).astype(np.float32)
        made = detect.detect(logits, (320, 320), min_area=5, min_score=0.5)
        counts = protocol.match(polygons, [False] * len(polygons), [one.polygon for one in made])
        matched, truths, found = matched + counts.matched, truths + counts.truths, found + counts.detections
    assert truths > 50
    assert 2 * matched / (truths + found) > 0.97
