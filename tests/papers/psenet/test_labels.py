"""Labels against the official code's, recorded."""

import json
from pathlib import Path

import numpy as np

from fuxian.papers.psenet import labels, reference
from fuxian.papers.psenet.reference.record_labels import COUNT, KERNELS, SIDE, SMALLEST, polygons
from fuxian.papers.psenet.reference.score_maps import digest


def test_every_kernel_is_the_official_one():
    recorded = json.loads((Path(reference.__file__).parent / "labels.json").read_text())["kernels"]
    for index in range(COUNT):
        words = polygons(index)
        maps = labels.draw(words, [True] * len(words), (SIDE, SIDE), KERNELS, SMALLEST)
        assert digest(maps[1:-1]) == recorded[index], index


def test_kernels_lie_in_one_another_and_unreadable_words_are_masked():
    read, unread = (
        np.array([(5, 5), (95, 5), (95, 45), (5, 45)]),
        np.array([(5, 60), (60, 60), (60, 90), (5, 90)]),
    )
    maps = labels.draw([read, unread], [True, False], (100, 100))
    assert (np.diff(maps[:-1].astype(int), axis=0) <= 0).all()
    assert (np.diff(maps[:-1].sum((1, 2), dtype=int)) < 0).all()
    assert not maps[-1, 60:91, 5:61].any()
    assert maps[-1].sum() == 100 * 100 - 31 * 56
    # The smallest kernel is the rectangle moved in by area (1 - 0.4^2) / perimeter, which is 20 at most.
    offset = round(90 * 40 * (1 - 0.4**2) / 260)
    assert offset == 12
    assert maps[6, :50].sum() == (91 - 2 * offset) * (41 - 2 * offset)


def test_what_is_too_small_to_shrink_stays():
    sliver = np.array([(1, 1), (9, 1), (9, 2), (1, 2)], np.int32)
    assert sorted(labels.shrink(sliver, 0.4).tolist()) == sorted(sliver.tolist())
    point = np.array([(3, 3)] * 4, np.int32)
    assert np.array_equal(labels.shrink(point, 0.4), point)
