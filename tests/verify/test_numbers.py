"""Numbers that nobody trusts, and their comparison."""

import json

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.verify.export_chain import compare, require_rounding
from fuxian.verify.numbers import read_numbers
from fuxian.verify.reasons import Failed, Reason


def test_every_format_gives_the_same_numbers(tmp_path):
    wanted = np.array([[1.0, 2.5], [3.0, -4.0]])
    np.savez(tmp_path / "a.npz", a=wanted)
    np.save(tmp_path / "a.npy", wanted)
    (tmp_path / "a.json").write_text(json.dumps(wanted.tolist()))
    (tmp_path / "a.csv").write_text("1.0,2.5\n3,-4\n")
    for ending in ("npz", "npy", "json", "csv"):
        found = read_numbers(tmp_path / f"a.{ending}")
        assert list(found) == ["a"]
        assert (found["a"] == wanted).all()


def test_names_are_kept(tmp_path):
    (tmp_path / "a.json").write_text('{"x": [1, 2], "y": 3}')
    (tmp_path / "a.csv").write_text("x, y\n1,3\n2,3\n")
    assert read_numbers(tmp_path / "a.json")["x"].tolist() == [1, 2]
    assert read_numbers(tmp_path / "a.csv")["y"].tolist() == [3, 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json", b'{"a": "text"}'),
        ("a.json", b"[[1], [2, 3]]"),
        ("a.json", b"[" * 100_000),
        ("a.json", b"\xff\xfe"),
        ("a.csv", b""),
        ("a.csv", b"x,y\n1\n"),
        ("a.csv", b"1,2\nthree,4\n"),
        ("a.npz", b"PK\x03\x04 and no more"),
        ("a.npy", b"\x93NUMPY\x01\x00"),
        ("a.pkl", b"\x80\x04."),
    ],
)
def test_anything_else_is_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        read_numbers(tmp_path / name)


def test_a_pickle_inside_an_array_is_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(InputError):
        read_numbers(tmp_path / "a.npz")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "b.json").write_text("[1]")
    (tmp_path / "a.json").symlink_to(tmp_path / "b.json")
    with pytest.raises(InputError, match="did not write"):
        read_numbers(tmp_path / "a.json")


A = np.linspace(-5, 5, 60).reshape(20, 3)


def test_outputs_that_differ_by_rounding_are_the_same():
    found = compare({"x": A}, {"x": (A + 1e-6).astype(np.float32)})
    assert (found.count, found.beyond) == (60, 0)
    assert found.largest == pytest.approx(1e-6, rel=0.5)


def test_two_in_a_hundred_may_be_tipped_by_rounding_and_are_counted():
    outputs = np.ones((100, 10))
    tipped = outputs.copy()
    tipped[:2] = 5.0
    found = compare({"x": outputs}, {"x": tipped})
    assert (found.count, found.beyond, found.largest) == (1000, 20, 4.0)
    require_rounding(found, lambda: pytest.fail("nothing more was to be asked"))
    tipped[2, 0] = 5.0
    with pytest.raises(Failed, match="21 of 1000 numbers"):
        require_rounding(compare({"x": outputs}, {"x": tipped}), lambda: 0)


@pytest.mark.parametrize(
    ("beyond", "by_rounding", "passes"),
    [(60, 20, True), (60, 19, False), (200, 100, True), (201, 900, False), (900, 900, False)],
)
def test_more_may_be_tipped_where_rounding_the_weights_tips_a_third_as_many(beyond, by_rounding, passes):
    outputs = np.ones((100, 10))
    tipped = outputs.copy()
    tipped.reshape(-1)[:beyond] = 5.0
    found = compare({"x": outputs}, {"x": tipped})
    if passes:
        require_rounding(found, lambda: by_rounding)
    else:
        with pytest.raises(Failed):
            require_rounding(found, lambda: by_rounding)


@pytest.mark.parametrize(
    ("predicted", "inferred"),
    [
        ({"x": A}, {"x": A + 1e-2}),
        ({"x": A}, {"y": A}),
        ({"x": A}, {"x": A.T}),
        ({"x": A}, {"x": A[:, :1]}),
        ({"x": A * np.nan}, {"x": A * np.nan}),
        ({"x": A[:0]}, {"x": A[:0]}),
        ({}, {}),
    ],
)
def test_outputs_that_differ_otherwise_are_not(predicted, inferred):
    with pytest.raises(Failed) as caught:
        require_rounding(compare(predicted, inferred), lambda: 0)
    assert caught.value.reason is Reason.CHAIN_MISMATCH
