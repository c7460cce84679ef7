"""Progressive scale expansion against its definition, and against the official code's recorded labels."""

import json
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fuxian.errors import InputError
from fuxian.papers.psenet.pse import pse
from fuxian.papers.psenet.reference import score_maps
from fuxian.papers.psenet.reference.record_expansion import RECORD


def by_definition(kernels, min_area):
    """Algorithm 1 with a plain queue that keeps every pixel that did not grow."""
    labels, count = ndimage.label(kernels[-1])
    for label in range(1, count + 1):
        if (labels == label).sum() < min_area:
            labels[labels == label] = 0
    queue = deque(zip(*np.nonzero(labels), strict=True))
    for kernel in kernels[-2::-1]:
        kept = deque()
        while queue:
            y, x = queue.popleft()
            grew = False
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= near[0] < kernel.shape[0] and 0 <= near[1] < kernel.shape[1]
                if inside and kernel[near] and not labels[near]:
                    labels[near] = labels[y, x]
                    queue.append(near)
                    grew = True
            if not grew:
                kept.append((y, x))
        queue = kept
    return labels


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 10),
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    share=st.floats(0.2, 1),
    nested=st.booleans(),
    min_area=st.integers(0, 6),
)
@settings(deadline=None, max_examples=300)
def test_labels_follow_the_algorithm(seed, count, shape, share, nested, min_area):
    kernels = (np.random.default_rng(seed).random((count, *shape)) < share).astype(np.uint8)
    if nested:
        kernels = np.minimum.accumulate(kernels)
    assert np.array_equal(pse(kernels, min_area), by_definition(kernels, min_area))


@pytest.mark.parametrize("index", [0, 1, 2, 3, 250, 499])
def test_labels_equal_the_official_ones(index):
    recorded = json.loads(RECORD.read_text())
    kernels = score_maps.kernels(index)
    labels = pse(kernels, recorded["min_area"])
    assert [score_maps.digest(kernels), score_maps.digest(labels)] == recorded["kernels_and_labels"][index]


def test_more_instances_than_sixteen_bits_number():
    kernels = np.zeros((2, 1024, 1024), np.uint8)
    kernels[1, ::4, ::4] = 1
    kernels[0] = 1
    labels = pse(kernels)
    assert labels.max() == 256 * 256
    assert (labels > 0).all()
    assert (np.diff(labels[::4, ::4].ravel()) == 1).all()


def test_the_input_is_left_alone_and_may_be_a_view():
    kernels = np.random.default_rng(0).random((3, 20, 40)) < 0.7
    kept = kernels.copy()
    assert np.array_equal(pse(kernels[:, ::-1, ::2]), pse(kept[:, ::-1, ::2].astype(np.uint8) * 255))
    assert np.array_equal(kernels, kept)


@pytest.mark.parametrize(
    "kernels",
    [
        np.zeros((3, 4), np.uint8),
        np.zeros((3, 4, 4)),
        np.zeros((0, 4, 4), np.uint8),
        np.zeros((65, 1, 1), bool),
    ],
)
def test_what_is_not_kernels_is_refused(kernels):
    with pytest.raises(InputError, match="give uint8 or bool"):
        pse(kernels)


def test_a_picture_without_pixels_has_no_instances():
    assert pse(np.zeros((7, 0, 5), np.uint8)).shape == (0, 5)
