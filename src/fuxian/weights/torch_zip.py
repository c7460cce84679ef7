"""Reads torch's zip checkpoints (``torch.save`` since 1.6) into numpy arrays, without torch."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fuxian.weights.inert_pickle import (
    Budget,
    Builder,
    Damaged,
    Global,
    Refused,
    check_shape,
    numpy_builders,
    read_pickle,
)

STORAGE_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
}


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 of the same value, from bfloat16's bits as uint16 of any shape; exact."""
    return np.asarray(bits.astype(np.uint32) << 16).view(np.float32)


class _Storages:
    """The zip's storages, each read once: tensors that share one stay views of the same memory."""

    def __init__(self, archive: zipfile.ZipFile, root: str, budget: Budget) -> None:
        self.archive = archive
        self.root = root
        self.budget = budget
        self.read: dict[tuple[str, str], np.ndarray] = {}
        self.widened: set[int] = set()
        names = set(archive.namelist())
        self.order = "<"
        if f"{root}byteorder" in names:
            self.order = {b"little": "<", b"big": ">"}[archive.read(f"{root}byteorder")]

    def __call__(self, reference: Any) -> np.ndarray:
        kind, storage_class, key, _location, count = reference
        if kind != "storage" or not isinstance(storage_class, Global) or storage_class.module != "torch":
            raise Refused("refers to something other than a tensor's storage")
        code = STORAGE_DTYPES.get(storage_class.name)
        if code is None:
            raise Refused(f"holds a torch.{storage_class.name[:60]}, which is not supported")
        if not isinstance(key, str) or not isinstance(count, int):
            raise Damaged("a storage has no key")
        if (code, key) not in self.read:
            self.read[code, key] = self._load(code, key)
        if self.read[code, key].size != count:
            raise Damaged(f"storage {key[:40]!r} has {self.read[code, key].size} elements instead of {count}")
        return self.read[code, key]

    def _load(self, code: str, key: str) -> np.ndarray:
        member = self.archive.getinfo(f"{self.root}data/{key}")
        if member.compress_type != zipfile.ZIP_STORED:
            raise Refused("holds a compressed storage, which torch never writes")
        self.budget.spend(member.file_size)
        dtype = np.dtype(self.order + ("u2" if code == "bf16" else code))
        array = np.frombuffer(self.archive.read(member), dtype).astype(dtype.newbyteorder("="), copy=False)
        if code != "bf16":
            return array
        array = widen_bfloat16(array)
        self.widened.add(id(array))
        return array


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> np.ndarray:
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise Refused("builds a tensor from something other than a storage")
    check_shape(size)
    check_shape(stride)
    if len(size) != len(stride) or not isinstance(offset, int) or offset < 0:
        raise Damaged("a tensor's strides do not fit its shape")
    count = 1
    for length in size:
        count *= length
    if count == 0:
        return np.empty(size, storage.dtype)
    if count > storage.size:
        raise Refused(f"holds a tensor of shape {size} over a storage of {storage.size} elements")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if last >= storage.size:
        raise Damaged(f"a tensor of shape {size} reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, [step * storage.itemsize for step in stride], writeable=False
    )


def _same(tensor: Any, *_rest: Any) -> Any:
    return tensor


def _size(sizes: Any) -> tuple:
    check_shape(sizes)
    return sizes


def rebuilding_builders() -> dict[tuple[str, str], Builder]:
    """The calls that torch's pickles make to build tensors from storages."""
    builders: dict[tuple[str, str], Builder] = {
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _same,
        ("torch._utils", "_rebuild_parameter_with_state"): _same,
        ("torch", "Size"): _size,
    }

    def of_subclass(function: Any, _class: Any, arguments: Any, _state: Any) -> Any:
        if not isinstance(function, Global) or (function.module, function.name) not in builders:
            raise Refused("builds a tensor by a function of its own")
        return builders[function.module, function.name](*arguments)

    return {**builders, ("torch._tensor", "_rebuild_from_type_v2"): of_subclass}


def read_torch_zip(path: Path) -> tuple[Any, bool]:
    """What ``torch.save`` wrote, tensors as read-only arrays; and whether bfloat16 was widened to float32.

    Raises Refused or Damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [
                name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")
            ]
            if len(pickles) != 1:
                raise Damaged("there is no single data.pkl in the zip")
            root = pickles[0].removesuffix("data.pkl")
            if f"{root}constants.pkl" in archive.namelist():
                raise Refused("is a TorchScript program, not a file of weights")
            budget = Budget(2 * path.stat().st_size)
            member = archive.getinfo(pickles[0])
            budget.spend(member.file_size)
            storages = _Storages(archive, root, budget)
            builders: dict[tuple[str, str], Builder] = {**numpy_builders(budget), **rebuilding_builders()}
            tree = read_pickle(io.BytesIO(archive.read(member)), builders, budget, storages, objects=True)
            return tree, bool(storages.widened)
    except (zipfile.BadZipFile, NotImplementedError, KeyError, EOFError, OSError, RuntimeError) as error:
        raise Damaged(f"{type(error).__name__}: {str(error)[:80]}") from error
