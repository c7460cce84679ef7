import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fuxian.align.compare import compare


def judged(port, reference, tolerance=1e-6, **options):
    return compare("x", port, reference, tolerance, **options)


def test_equal_arrays_agree():
    array = np.linspace(-1, 1, 20).reshape(4, 5)
    assert judged(array, array.copy()).agrees


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(bad):
    reference = np.ones(3)
    port = np.array([1.0, bad, 1.0])
    assert judged(port, reference, tolerance=np.inf).differs
    assert not judged(port, port.copy(), tolerance=np.inf).agrees


def test_empty_arrays_never_pass():
    assert not judged(np.zeros((0, 3)), np.zeros((0, 3))).agrees


def test_missing_and_extra_tensors_never_pass():
    assert judged(None, np.ones(2)).differs
    assert judged(np.ones(2), None).differs


def test_nothing_is_broadcast():
    result = judged(np.ones((1,)), np.ones((5, 4)))
    assert result.differs
    assert "shape" in result.problem


def test_a_transposed_matrix_differs():
    square = np.arange(9.0).reshape(3, 3)
    assert judged(square.T, square).differs
    assert judged(np.arange(6.0).reshape(2, 3).T, np.arange(6.0).reshape(2, 3)).differs


def test_permuted_elements_differ_though_their_mean_does_not():
    array = np.random.default_rng(0).standard_normal(1000)
    assert judged(np.sort(array), array).differs


def test_one_wrong_element_in_a_million_differs():
    reference = np.random.default_rng(0).standard_normal(1_000_000)
    port = reference.copy()
    port[123_456] += 0.9
    result = judged(port, reference)
    assert result.differs
    assert result.worst[0][0] == [123_456]


def test_tiny_wrong_gradients_differ():
    assert judged(np.full(10, -5e-7), np.full(10, 1e-7)).differs


def test_one_unit_in_the_last_place_agrees_at_any_size():
    reference = np.array([12345.678], dtype=np.float32)
    port = np.nextafter(reference, np.float32(np.inf))
    result = judged(port, reference, precision="float32")
    assert result.agrees
    assert result.ulps <= 1.01


def test_integers_and_booleans_are_compared_exactly():
    assert judged(np.array([True, False]), np.array([True, False])).agrees
    assert judged(np.array([2**40 + 1]), np.array([2**40]), tolerance=1.0).differs
    assert judged(np.array([1.0]), np.array([1])).differs


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e6, 1e6)), st.floats(1e-3, 1.0))
def test_the_error_is_the_smallest_tolerance_that_passes(reference, amount):
    assume(np.abs(reference).max() > 1e-100)
    port = reference.copy()
    port[0] += amount * max(1e-3, np.abs(reference).max())
    error = judged(port, reference, 0.0).error
    assert judged(port, reference, error).agrees
    assert judged(port, reference, error * 0.999).differs


def test_the_worst_elements_of_a_large_tensor():
    reference = np.zeros(50_000).reshape(100, 500)
    port = reference.copy()
    for size, place in (
        (5.0, (99, 499)),
        (4.0, (0, 0)),
        (3.0, (50, 3)),
        (2.0, (8, 95)),
        (1.0, (8, 96)),
        (0.5, (1, 1)),
    ):
        port[place] = size
    reference[20, 20] = port[20, 20] = 10.0
    worst = compare("w", port, reference, 1e-6).worst
    assert [(tuple(place), one, two) for place, one, two in worst] == [
        ((99, 499), 5.0, 0.0), ((0, 0), 4.0, 0.0), ((50, 3), 3.0, 0.0), ((8, 95), 2.0, 0.0), ((8, 96), 1.0, 0.0),
    ]  # fmt: skip
