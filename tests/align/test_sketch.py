import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fuxian.align.sketch import COUNT, LENGTH, NANS, error, same_elements, sketch


def array(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count)


@given(st.integers(0, 40_000))
def test_a_sketch_has_one_length_and_counts(count):
    vector = sketch(array(count))
    assert vector.shape == (LENGTH,)
    assert vector[COUNT] == count


def test_the_same_values_in_either_precision_look_alike():
    values = array(50_000).astype(np.float32)
    assert error(sketch(values.astype(np.float64)), sketch(values)) < 2.0**-23


def test_one_wrong_element_in_a_million_shows():
    reference = array(1_000_000)
    port = reference.copy()
    port[777_777] += 0.9
    assert error(sketch(port), sketch(reference)) > 1e-5
    assert error(sketch(reference.copy()), sketch(reference)) == 0.0


def test_a_permutation_keeps_the_elements_and_not_the_arrangement():
    matrix = array(40_000).reshape(200, 200)
    one, two = sketch(matrix.T), sketch(matrix)
    assert same_elements(one, two, 1e-9)
    assert error(one, two) > 1e-3


def test_equal_blocks_at_other_places_do_not_look_alike():
    values = array(3 * 8192)
    swapped = np.concatenate([values[8192:16384], values[:8192], values[16384:]])
    assert error(sketch(swapped), sketch(values)) > 1e-3


def test_what_fills_masks_does_not_hide_other_elements():
    one, two = array(100), array(100)
    one[0] = two[0] = -1e9
    two[50] += 1e-3
    assert not same_elements(sketch(one), sketch(two), 1e-9)


def test_nans_are_counted():
    values = array(100)
    values[3] = np.nan
    assert sketch(values)[NANS] == 1
    assert error(sketch(values), sketch(array(100))) == float("inf")
