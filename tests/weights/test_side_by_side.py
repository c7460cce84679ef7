import numpy as np

from fuxian.weights.side_by_side import compare, figures


def only(first, second):
    (difference,) = compare({"w": np.asarray(first)}, {"w": np.asarray(second)}).common
    return difference


def test_equal_tensors_are_equal_whatever_they_hold():
    for values in ([1.0, np.nan, np.inf], [True], np.zeros((0, 3)), [2**60 + 1], [1j]):
        difference = only(values, values)
        assert difference.equal
        assert (difference.max_abs, difference.max_rel) == (0.0, 0.0)


def test_one_wrong_element_in_a_million_is_found():
    values = np.ones(1_000_000, np.float32)
    other = values.copy()
    other[123_456] = np.nextafter(np.float32(1), np.float32(2))
    difference = only(values, other)
    assert not difference.equal
    assert difference.max_abs == 2.0**-23


def test_errors_are_element_by_element_not_of_the_means():
    difference = only([1.0, -1.0], [-1.0, 1.0])
    assert (difference.max_abs, difference.max_rel) == (2.0, 2.0)


def test_nan_infinity_shape_and_dtype_never_pass():
    assert only([1.0], [np.nan]).max_abs == np.inf
    assert only([np.inf], [-np.inf]).max_abs == np.inf
    assert not only([np.inf], [-np.inf]).equal
    assert only([[1.0]], [1.0]).max_abs is None
    assert not only(np.ones(2, np.float32), np.ones(2)).equal
    assert not only([2**60], [2**60 + 1]).equal


def test_missing_and_extra_names_are_listed():
    result = compare({"a": np.ones(1), "b": np.ones(1)}, {"b": np.ones(1), "c": np.ones(1)})
    assert (result.only_first, result.only_second, result.equal) == (["a"], ["c"], False)


def test_figures_leave_out_and_count_what_is_not_finite():
    row = figures("w", np.array([1.0, 3.0, np.nan, np.inf, -np.inf]))
    assert (row.mean, row.std, row.low, row.high, row.nan, row.infinite) == (2.0, 1.0, 1.0, 3.0, 1, 2)
    assert figures("w", np.zeros(0)).mean is None
    assert figures("w", np.array([3 + 4j])).mean == 5.0
