import io
import pickle
import zipfile

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.weights import load_tensors, read, save_tensors


class Stub:
    """Pickles as a global of torch, without torch."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Writer(pickle._Pickler):
    """Writes what ``torch.save`` writes, and what it never would."""

    def persistent_id(self, value):
        return value.reference if isinstance(value, Storage) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Stub):
            self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Rebuilt):
            self.save(Stub("torch._utils", "_rebuild_tensor_v2"))
            self.save(value.arguments)
            self.write(b"R")
        else:
            super().save(value, save_persistent_id)


class Storage:
    def __init__(self, key, count, kind="FloatStorage"):
        self.reference = ("storage", Stub("torch", kind), key, "cpu", count)


class Rebuilt:
    def __init__(self, storage, offset, size, stride):
        self.arguments = (storage, offset, size, stride, False, None)


def write(path, tree, storages=(), compression=zipfile.ZIP_STORED, extra=()):
    content = io.BytesIO()
    Writer(content, 2).dump(tree)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", content.getvalue())
        for key, data in storages:
            archive.writestr(f"a/data/{key}", data)
        for name in extra:
            archive.writestr(name, b"")
    return path


FOUR = [("0", np.arange(4, dtype="<f4").tobytes())]


def test_a_file_made_without_torch_is_read(tmp_path):
    tree = {"w": Rebuilt(Storage("0", 4), 1, (3,), (1,)), "t": Rebuilt(Storage("0", 4), 0, (2, 2), (1, 2))}
    got = load_tensors(write(tmp_path / "a.pt", tree, FOUR))
    assert got["w"].tolist() == [1, 2, 3]
    assert got["t"].tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize(
    "tensor",
    [
        Rebuilt(Storage("0", 4), 0, (5,), (1,)),
        Rebuilt(Storage("0", 4), 2, (3,), (1,)),
        Rebuilt(Storage("0", 4), -1, (3,), (1,)),
        Rebuilt(Storage("0", 4), 0, (2,), (-1,)),
        Rebuilt(Storage("0", 4), 0, (2,), (1 << 62,)),
        Rebuilt(Storage("0", 4), 0, (1 << 40,), (0,)),
        Rebuilt(Storage("0", 4), 0, (1 << 62, 0), (0, 0)),
        Rebuilt(Storage("0", 1 << 40), 0, (2,), (1,)),
        Rebuilt(Storage("../0", 4), 0, (2,), (1,)),
        Rebuilt(Storage("1", 4), 0, (2,), (1,)),
        Rebuilt(Storage("0", 4, "UntypedStorage"), 0, (2,), (1,)),
        Rebuilt(Storage("0", 4, "nn.Module"), 0, (2,), (1,)),
        Rebuilt("0", 0, (2,), (1,)),
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, tensor):
    with pytest.raises(InputError):
        load_tensors(write(tmp_path / "a.pt", {"w": tensor}, FOUR))


def test_many_views_of_one_storage_take_its_memory_once(tmp_path):
    tree = {f"w{i}": Rebuilt(Storage("0", 1 << 20), 0, (1 << 20,), (1,)) for i in range(1000)}
    got = load_tensors(write(tmp_path / "a.pt", tree, [("0", bytes(4 << 20))]))
    assert len(got) == 1000
    assert np.shares_memory(got["w0"], got["w999"])


def test_compressed_storages_and_other_archives_are_refused(tmp_path):
    tree = {"w": Rebuilt(Storage("0", 1 << 20), 0, (2,), (1,))}
    bomb = write(tmp_path / "bomb.pt", tree, [("0", bytes(4 << 20))], zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed"):
        load_tensors(bomb)
    with pytest.raises(InputError, match="TorchScript"):
        load_tensors(write(tmp_path / "script.pt", {}, extra=["a/constants.pkl"]))
    with pytest.raises(InputError, match="no single data"):
        load_tensors(write(tmp_path / "two.pt", {}, extra=["b/data.pkl"]))


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("os", "system", ("touch {m}",)),
        ("builtins", "eval", ("open('{m}', 'w')",)),
        ("torch", "load", ("{m}",)),
        ("torch._utils", "_import_dotted_name", ("os.system",)),
        ("torch.storage", "_load_from_bytes", (b"x",)),
    ],
)
def test_code_in_a_torch_file_is_refused_and_never_runs(tmp_path, module, name, arguments):
    marker = tmp_path / "ran"
    arguments = tuple(a.replace("{m}", str(marker)) if isinstance(a, str) else a for a in arguments)

    content = io.BytesIO()
    writer = Writer(content, 2)
    writer.write(b"\x80\x02")
    writer.save(Stub(module, name))
    writer.save(arguments)
    writer.write(b"R.")
    path = tmp_path / "evil.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content.getvalue())
    with pytest.raises(InputError, match=f"refused, because it asks for {module}.{name}"):
        load_tensors(path)
    assert not marker.exists()


def test_a_whole_model_is_refused_in_one_sentence(tmp_path, torch):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(InputError, match="refused"):
        load_tensors(tmp_path / "whole.pt")


def test_every_kind_of_tensor_torch_saves(tmp_path, torch):
    shared = torch.arange(6.0)
    tree = {
        "state_dict": torch.nn.BatchNorm1d(3).state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "transposed": shared.reshape(2, 3).t(),
        "view": shared[2:4],
        "scalar": torch.tensor(5),
        "empty": torch.zeros(0, 3),
        **{str(d): torch.ones(2).to(d) for d in (torch.float16, torch.int8, torch.bool, torch.complex64)},
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "size": torch.Size([2, 3]),
    }
    torch.save(tree, tmp_path / "a.pt")
    stored = read(tmp_path / "a.pt")
    got = stored.tensors
    assert got["state_dict.num_batches_tracked"].dtype == np.int64
    assert got["bfloat16"].tolist() == [1.5, -2.0]
    assert "bfloat16 tensors were widened to float32, which is exact" in stored.notes
    for name, tensor in tree.items():
        if isinstance(tensor, torch.Tensor) and name != "bfloat16":
            np.testing.assert_array_equal(got[name], tensor.detach().numpy())
            assert got[name].dtype == tensor.detach().numpy().dtype
    assert np.shares_memory(got["transposed"], got["view"])


def test_torch_reads_what_is_written(tmp_path, torch):
    save_tensors(tmp_path / "a.pt", {"w": np.arange(3.0)})
    assert torch.load(tmp_path / "a.pt", weights_only=True)["w"].tolist() == [0, 1, 2]
