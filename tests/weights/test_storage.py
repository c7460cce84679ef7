import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fuxian.errors import InputError
from fuxian.weights import load_tensors, read, save_tensors

DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "complex64")

tensor = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))
)
tensors = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), tensor, max_size=4)


def same(first, second):
    assert set(first) == set(second)
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        assert array.shape == second[name].shape
        assert array.tobytes() == second[name].tobytes()


@pytest.mark.parametrize("ending", [".safetensors", ".pdparams"])
@settings(max_examples=25, deadline=None)
@given(written=tensors)
def test_what_is_saved_is_loaded(tmp_path_factory, ending, written):
    path = tmp_path_factory.mktemp("round") / f"weights{ending}"
    save_tensors(path, written)
    same(written, load_tensors(path))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_layouts_and_byte_orders_survive(tmp_path):
    written = {
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(10)[::3],
        "big": np.arange(3, dtype=">f4"),
        "scalar": np.float32(3),
        "empty": np.zeros((0, 3)),
    }
    for ending in (".safetensors", ".pdparams"):
        save_tensors(tmp_path / f"a{ending}", written)
        read_back = load_tensors(tmp_path / f"a{ending}")
        for name, array in written.items():
            np.testing.assert_array_equal(read_back[name], array)
            assert read_back[name].shape == np.shape(array)


def test_metadata_travels_with_safetensors_only(tmp_path):
    save_tensors(tmp_path / "a.safetensors", {"x": np.zeros(2)}, {"step": "7"})
    assert read(tmp_path / "a.safetensors").metadata == {"step": "7"}
    with pytest.raises(InputError, match="metadata"):
        save_tensors(tmp_path / "a.pdparams", {"x": np.zeros(2)}, {"step": "7"})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"x": np.zeros(2)})
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_tensors(path, {"x": np.ones(2)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("name", "tensors", "words"),
    [
        ("a.onnx", {"x": np.zeros(2)}, "such an ending"),
        ("a.safetensors", {"x": np.array(["text"])}, "not numeric"),
        ("a.pdparams", {"x": np.array([object()])}, "not numeric"),
        ("missing/a.safetensors", {"x": np.zeros(2)}, "does not exist"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path, name, tensors, words):
    with pytest.raises(InputError, match=words):
        save_tensors(tmp_path / name, tensors)
    assert list(tmp_path.iterdir()) == []


def test_numpy_files_are_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.zeros((2, 2), order="F"))
    np.savez_compressed(tmp_path / "b.npz", x=np.arange(3))
    np.save(tmp_path / "c.npy", np.arange(4.0))
    assert load_tensors(tmp_path / "a.npz")["y"].shape == (2, 2)
    assert load_tensors(tmp_path / "b.npz")["x"].tolist() == [0, 1, 2]
    assert load_tensors(tmp_path / "c.npy")["c"].tolist() == [0, 1, 2, 3]


def test_numpy_files_with_objects_or_lies_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="not numeric"):
        load_tensors(tmp_path / "objects.npz")
    header = (
        b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,), }"
    )
    (tmp_path / "lie.npy").write_bytes(header.ljust(127) + b"\n" + b"\0" * 16)
    with pytest.raises(InputError, match="damaged"):
        load_tensors(tmp_path / "lie.npy")


def test_an_archive_that_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("fuxian.weights.storage.FREE_NPZ_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(1 << 20))
    with pytest.raises(InputError, match="times its size"):
        load_tensors(tmp_path / "a.npz")


def test_nested_files_follow_the_rule(tmp_path):
    weights = {"layer.weight": np.ones(2, np.float32)}
    other = {"w": np.zeros(3, np.float32)}
    path = tmp_path / "a.pdparams"

    path.write_bytes(pickle.dumps({"state_dict": weights, "epoch": 3, "optimizer": other}))
    stored = read(path)
    assert list(stored.tensors) == ["layer.weight"]
    assert "'epoch', 'optimizer'" in stored.notes[0]
    assert list(load_tensors(path, "optimizer")) == ["w"]

    path.write_bytes(pickle.dumps({"net": weights, "opt": [other, 0.5]}))
    stored = read(path)
    assert list(stored.tensors) == ["net.layer.weight", "opt.0.w"]
    assert stored.notes == ["left out, being no tensors: opt.1"]

    path.write_bytes(pickle.dumps({"state_dict": weights, "model": other}))
    with pytest.raises(InputError, match="state_dict and model; choose one"):
        read(path)
    with pytest.raises(InputError, match="no dict lies under 'ema'"):
        read(path, "ema")

    path.write_bytes(pickle.dumps({"a.b": np.ones(1), "a": {"b": np.ones(1)}}))
    with pytest.raises(InputError, match="two tensors named"):
        read(path)


@pytest.mark.parametrize("ending", [".safetensors", ".pdparams", ".pt", ".npz", ".npy"])
@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x04.", b"PK\x03\x04rubbish", b"not weights" * 100])
def test_rubbish_is_damaged_or_refused_in_one_sentence(tmp_path, ending, content):
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a{ending}: (the file is damaged|refused)"):
        load_tensors(path)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), ending=st.sampled_from([".safetensors", ".pdparams", ".npz"]))
def test_a_damaged_file_never_crashes(tmp_path_factory, data, ending):
    path = tmp_path_factory.getbasetemp() / f"flipped{ending}"
    written = {"a.weight": np.arange(6.0).reshape(2, 3), "b": np.ones(2, bool)}
    if ending == ".npz":
        np.savez(path, **written)
    else:
        save_tensors(path, written)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        for array in load_tensors(path).values():
            assert isinstance(array, np.ndarray)
    except InputError as error:
        assert str(error).startswith(str(path))


def test_missing_files_and_unknown_endings_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_tensors(tmp_path / "none.pt")
    with pytest.raises(InputError, match="not a known format"):
        load_tensors(tmp_path / "model.onnx")


def test_bfloat16_safetensors_are_widened(tmp_path):
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x80\x3f\x00\xc0")
    stored = read(path)
    assert stored.tensors["x"].dtype == np.float32
    assert stored.tensors["x"].tolist() == [1.0, -2.0]
    assert stored.notes == ["bfloat16 tensors were widened to float32, which is exact"]


class TestPaddleFiles:
    def test_state_dicts_optimizers_and_nested_tensors(self, tmp_path):
        import paddle

        layer = paddle.nn.Linear(2, 3)
        optimizer = paddle.optimizer.Adam(parameters=layer.parameters())
        layer(paddle.ones([1, 2])).sum().backward()
        optimizer.step()
        for protocol in (2, 3, 4):
            paddle.save(layer.state_dict(), str(tmp_path / "a.pdparams"), protocol=protocol)
            got = load_tensors(tmp_path / "a.pdparams")
            np.testing.assert_array_equal(got["weight"], layer.weight.numpy())
            np.testing.assert_array_equal(got["bias"], layer.bias.numpy())
        paddle.save(optimizer.state_dict(), str(tmp_path / "a.pdopt"))
        assert len(load_tensors(tmp_path / "a.pdopt")) == 8
        paddle.save({"model": layer.state_dict(), "epoch": 1}, str(tmp_path / "b.pdparams"))
        assert set(load_tensors(tmp_path / "b.pdparams")) == {"weight", "bias"}
        paddle.save({"x": layer.bias.astype("bfloat16")}, str(tmp_path / "c.pdparams"))
        assert read(tmp_path / "c.pdparams").tensors["x"].dtype == np.float32

    def test_paddle_reads_what_is_written(self, tmp_path):
        import paddle

        save_tensors(tmp_path / "a.pdparams", {"weight": np.ones((2, 3), np.float32)})
        layer = paddle.nn.Linear(2, 3, bias_attr=False)
        missing, unexpected = layer.set_state_dict(paddle.load(str(tmp_path / "a.pdparams")))
        assert (missing, unexpected) == ([], [])
        np.testing.assert_array_equal(layer.weight.numpy(), 1)


def test_npz_entries_with_path_names_stay_names(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("../../evil.npy", "w") as member:
        np.lib.format.write_array(member, np.ones(2))
    assert list(load_tensors(tmp_path / "a.npz")) == ["../../evil"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_a_checkpoint_named_pth_tar_is_a_pth(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'fuxian[reference]'")
    file = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 3, "state_dict": {"fc.weight": torch.eye(2)}}, file)
    assert np.array_equal(load_tensors(file)["fc.weight"], np.eye(2))
