"""The evaluation of ICDAR 2015 against what the official script answered."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuxian.datasets.scene_text import quadrilaterals
from fuxian.metrics import Hmean
from fuxian.papers.psenet import protocol, reference
from fuxian.papers.psenet.reference.evaluation_cases import COUNT, case


@pytest.fixture(scope="module")
def recorded():
    return json.loads((Path(reference.__file__).parent / "evaluation.json").read_text())


def judged(index):
    truths, texts, detections = case(index)
    lines = [",".join([*map(str, one.ravel()), text]) for one, text in zip(truths, texts, strict=True)]
    words = quadrilaterals("\n".join(lines).encode(), "gt.txt")
    ignored = [word.ignored for word in words]
    return protocol.match([word.polygon for word in words], ignored, detections), ignored, len(detections)


def test_every_generated_picture_is_judged_as_by_the_official_script(recorded):
    for index in range(COUNT):
        counts, ignored, detections = judged(index)
        assert np.flatnonzero(ignored).tolist() == recorded["ignored_truths"][index], index
        assert [list(pair) for pair in counts.pairs] == recorded["pairs"][index], index
        assert counts.detections == detections - len(recorded["ignored_detections"][index]), index


def test_figures_are_equal_to_the_last_digit(recorded):
    metric = Hmean(lambda counts, _targets, _meta: counts)
    for index in range(COUNT):
        counts = judged(index)[0]
        metric.update(([counts.matched], [counts.truths], [counts.detections]), None)
    figures = metric.figures()
    assert figures["precision"] == recorded["method"]["precision"]
    assert figures["recall"] == recorded["method"]["recall"]
    assert figures["hmean"] == pytest.approx(recorded["method"]["hmean"], rel=1e-15)


corners = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=6).map(np.array)


@given(corners, corners, st.integers(1, 7))
@settings(deadline=None)
def test_the_shared_area_is_that_of_the_points_inside_both(a, b, scale):
    """Counted on a grid of points that lie on no edge's corner, with the even-odd rule of a ray to the left."""

    def inside(polygon, x, y):
        at, to = polygon, np.roll(polygon, -1, axis=0)
        hit = np.zeros(x.shape, bool)
        for (x1, y1), (x2, y2) in zip(at, to, strict=True):
            if y1 != y2:
                hit ^= ((y1 <= y) != (y2 <= y)) & (x1 + (y - y1) / (y2 - y1) * (x2 - x1) < x)
        return hit

    step = 0.05
    x, y = np.meshgrid(*[np.arange(step / 2, 30, step)] * 2)
    counted = (inside(a, x, y) & inside(b, x, y)).sum() * step**2
    assert protocol.shared_area(a, b) == pytest.approx(counted, abs=1.5)
    assert protocol.shared_area(a, b) == pytest.approx(protocol.shared_area(b[::-1], a), abs=1e-9)
    scaled = scale**2 * protocol.shared_area(a, b)
    assert protocol.shared_area(scale * a, scale * b) == pytest.approx(scaled, abs=1e-9 * max(1.0, scale**2))


def test_a_bow_tie_has_no_area_of_its_own_and_shares_both_its_loops():
    bow = np.array([(0, 0), (10, 10), (10, 0), (0, 10)])
    assert protocol.area(bow) == 0
    assert protocol.shared_area(bow, np.array([(0, 0), (10, 0), (10, 10), (0, 10)])) == pytest.approx(50)
