"""Checkpoints from before torch 1.6, which old papers' weights are in."""

import struct

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.weights import load_tensors, read


def _save(torch, tree, path):
    torch.save(tree, path, _use_new_zipfile_serialization=False)
    return path


def test_every_kind_of_tensor_is_read(tmp_path, torch):
    shared = torch.arange(6.0)
    tree = {
        "state_dict": torch.nn.BatchNorm1d(3).state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "whole": shared,
        "transposed": shared.reshape(2, 3).t(),
        "view": shared[2:4],
        "scalar": torch.tensor(5),
        "empty": torch.zeros(0, 3),
        **{str(d): torch.ones(2).to(d) for d in (torch.float16, torch.int8, torch.bool)},
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "epoch": 3,
    }
    stored = read(_save(torch, tree, tmp_path / "old.pt"))
    wanted = {"parameter": [1, 1], "transposed": [[0, 3], [1, 4], [2, 5]], "view": [2, 3], "scalar": 5}
    for name, value in wanted.items():
        np.testing.assert_array_equal(stored.tensors[name], value)
    np.testing.assert_array_equal(stored.tensors["bfloat16"], np.array([1.5, -2.0], np.float32))
    assert stored.tensors["torch.float16"].dtype == np.float16 and stored.tensors["empty"].shape == (0, 3)
    assert stored.tensors["state_dict.running_var"].tolist() == [1, 1, 1]
    assert any("bfloat16" in note for note in stored.notes) and any("epoch" in note for note in stored.notes)


def test_it_is_what_the_zip_format_holds(tmp_path, torch):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(model.state_dict(), tmp_path / "new.pth")
    new, old = (
        load_tensors(tmp_path / "new.pth"),
        load_tensors(_save(torch, model.state_dict(), tmp_path / "old.pth")),
    )
    assert list(new) == list(old)
    for name, value in new.items():
        np.testing.assert_array_equal(old[name], value)


def test_a_whole_model_is_refused(tmp_path, torch):
    with pytest.raises(InputError, match="refused"):
        load_tensors(_save(torch, torch.nn.Linear(2, 2), tmp_path / "whole.pt"))


@pytest.mark.parametrize("left", [0, 1, 20, 200, -1, -9])
def test_a_file_that_was_cut_off_is_one_sentence(tmp_path, torch, left):
    content = _save(torch, {"w": torch.ones(5)}, tmp_path / "old.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[:left])
    with pytest.raises(InputError, match=r"damaged|refused"):
        load_tensors(tmp_path / "cut.pt")


def test_a_storage_that_says_it_is_huge_takes_no_memory(tmp_path, torch):
    content = _save(torch, {"w": torch.ones(5)}, tmp_path / "old.pt").read_bytes()
    # The count of elements in the pickle: BININT1 5 becomes BININT 2**31 - 1.
    place = content.index(b"K\x05")
    huge = content[:place] + b"J" + struct.pack("<i", 2**31 - 1) + content[place + 2 :]
    (tmp_path / "huge.pt").write_bytes(huge)
    with pytest.raises(InputError, match="unfolds into more data"):
        load_tensors(tmp_path / "huge.pt")
