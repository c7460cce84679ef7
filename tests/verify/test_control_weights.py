"""Controls' weights: other numbers in the same names, shapes, types and format."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from fuxian.errors import InputError
from fuxian.verify.control_weights import write_control
from fuxian.weights import load_tensors, save_tensors

RANDOM = np.random.default_rng(0)
TENSORS = {
    "conv": RANDOM.normal(size=(8, 4, 3, 3)).astype(np.float32),
    "half": RANDOM.normal(size=(40,)).astype(np.float16),
    "variance": np.abs(RANDOM.normal(size=(30,))).astype(np.float32),
    "steps": np.arange(7),
    "quantised": RANDOM.integers(-128, 127, (9, 9)).astype(np.int8),
}


@pytest.mark.parametrize("kind", ["shuffled", "fresh", "nudged"])
@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".pdparams"])
def test_only_the_numbers_differ(tmp_path, kind, ending):
    weights, out = tmp_path / f"w{ending}", tmp_path / f"out{ending}"
    if ending == ".npz":
        np.savez(weights, **TENSORS)
    else:
        save_tensors(weights, TENSORS)
    write_control(kind, weights, out, 1)
    made = load_tensors(out)
    assert {name: (one.shape, one.dtype) for name, one in made.items()} == {
        name: (one.shape, one.dtype) for name, one in TENSORS.items()
    }
    for name in ("conv", "half", "variance", "quantised"):
        stays = kind == "nudged" and name == "quantised"
        assert np.array_equal(made[name], TENSORS[name]) == stays
    # Counters and tables of indices are left alone, and no variance becomes negative.
    assert np.array_equal(made["steps"], TENSORS["steps"])
    assert made["variance"].min() >= 0
    if kind == "shuffled":
        assert np.array_equal(np.sort(made["conv"], None), np.sort(TENSORS["conv"], None))
    if kind == "nudged":
        assert np.allclose(made["conv"], TENSORS["conv"], rtol=0.01)
    again = tmp_path / f"again{ending}"
    write_control(kind, weights, again, 1)
    assert all(np.array_equal(one, made[name]) for name, one in load_tensors(again).items())


@pytest.mark.parametrize("whole", [list(TENSORS.values()), TENSORS])
def test_a_pickle_of_arrays_stays_one(tmp_path, whole):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(whole))
    write_control("nudged", tmp_path / "w.pkl", tmp_path / "o.pkl", 1)
    made = pickle.loads((tmp_path / "o.pkl").read_bytes())  # noqa: S301 - it was written a line before
    assert type(made) is type(whole)
    arrays = made if isinstance(made, list) else list(made.values())
    assert [one.shape for one in arrays] == [one.shape for one in TENSORS.values()]
    assert np.allclose(arrays[0], TENSORS["conv"], rtol=0.01)
    assert not np.array_equal(arrays[0], TENSORS["conv"])


def test_the_header_of_a_safetensors_file_stays(tmp_path):
    save_file(TENSORS, tmp_path / "w.safetensors", {"iterations": "7"})
    write_control("fresh", tmp_path / "w.safetensors", tmp_path / "o.safetensors", 1)
    headers = []
    for name in ("w", "o"):
        content = (tmp_path / f"{name}.safetensors").read_bytes()
        headers.append(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]))
    assert headers[0] == headers[1]


@pytest.mark.parametrize("tensors", [{"n": np.arange(9)}, {"c": np.ones((3, 3), np.float32)}])
def test_what_nothing_would_change_is_said(tmp_path, tensors):
    save_tensors(tmp_path / "w.safetensors", tensors)
    with pytest.raises(InputError, match="could be changed"):
        write_control("shuffled", tmp_path / "w.safetensors", tmp_path / "o.safetensors", 1)


def test_a_file_that_cannot_be_read_or_written_is_said(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"nothing")
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 40)
    for name in ("w.bin", "w.safetensors"):
        with pytest.raises(InputError):
            write_control("shuffled", tmp_path / name, tmp_path / f"o-{name}", 1)
