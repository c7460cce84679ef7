"""Files that hold the trained weights once more are found, whatever they are called, and others are not."""

import numpy as np
import pytest

from fuxian.verify.copies import copies_of_weights
from fuxian.verify.source import file_digest
from fuxian.weights import save_tensors

RANDOM = np.random.default_rng(0)


def tensors(seed=0):
    random = np.random.default_rng(seed)
    return {"conv": random.normal(size=(32, 16, 3)).astype(np.float32), "bias": np.zeros(32, np.float32)}


@pytest.fixture
def folder(tmp_path):
    """A submission with weights, a kept checkpoint, and honest files beside them."""
    save_tensors(tmp_path / "w.safetensors", tensors())
    (tmp_path / "kept").mkdir()
    save_tensors(tmp_path / "kept/model.safetensors", tensors(1))
    save_tensors(tmp_path / "backbone.safetensors", tensors(2))
    (tmp_path / "words.txt").write_text("word\n" * 1000)
    (tmp_path / "picture.npy").write_bytes(bytes(5000))
    return tmp_path


def found(folder, allowed=()):
    return copies_of_weights(
        folder, folder / "w.safetensors", [folder / "kept/model.safetensors"], allowed=allowed
    )


def test_honest_files_are_not_taken_for_them(folder):
    assert found(folder) == ()


@pytest.mark.parametrize(
    "write",
    [
        lambda f: np.savez_compressed(f / "x.npz", **{k.upper(): v for k, v in tensors().items()}),
        lambda f: np.savez(f / "x.npz", a=tensors()["conv"] * 1.001),
        lambda f: (f / "x.py").write_bytes(b"# " + tensors(1)["conv"].tobytes()),
        lambda f: save_tensors(f / "x.pdparams", {"a": tensors()["conv"].transpose(2, 1, 0).copy()}),
        lambda f: (f / "x.jpg").write_bytes((f / "kept/model.safetensors").read_bytes()),
    ],
)
def test_copies_are_found(folder, write):
    write(folder)
    (name,) = found(folder)
    assert name.startswith("x.")
    assert found(folder, {file_digest(folder / name)}) == ()
