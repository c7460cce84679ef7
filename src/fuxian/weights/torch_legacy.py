"""Reads torch's checkpoints from before 1.6 into numpy arrays, without torch: pickles, then the storages' bytes."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np

from fuxian.weights.inert_pickle import Budget, Builder, Damaged, Global, Refused, numpy_builders, read_pickle
from fuxian.weights.torch_zip import STORAGE_DTYPES, rebuilding_builders, widen_bfloat16

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


class _Storages:
    """The file's storages. Their bytes follow the tensors that are made of them, so each is filled later."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.made: dict[str, tuple[str, np.ndarray]] = {}

    def __call__(self, reference: Any) -> np.ndarray:
        kind, storage_class, key, _location, count, view = reference
        if kind != "storage" or not isinstance(storage_class, Global) or storage_class.module != "torch":
            raise Refused("refers to something other than a tensor's storage")
        code = STORAGE_DTYPES.get(storage_class.name)
        if code is None:
            raise Refused(f"holds a torch.{storage_class.name[:60]}, which is not supported")
        if view is not None:
            raise Refused("holds a storage that is a view of another")
        if not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise Damaged("a storage has no key")
        if key not in self.made:
            dtype = np.dtype("f4" if code == "bf16" else code)
            self.budget.spend(count * dtype.itemsize)
            self.made[key] = code, np.zeros(count, dtype)
        known, array = self.made[key]
        if known != code or array.size != count:
            raise Damaged(f"storage {key[:40]!r} is described in two ways")
        return array

    def fill(self, key: Any, content: IO[bytes], order: Literal["<", ">"]) -> None:
        if key not in self.made:
            raise Damaged("there are bytes of a storage that no tensor is made of")
        code, array = self.made[key]
        dtype = np.dtype("u2" if code == "bf16" else code).newbyteorder(order)
        (count,) = np.frombuffer(_exactly(content, 8), np.dtype("i8").newbyteorder(order))
        if count != array.size:
            raise Damaged(f"storage {key[:40]!r} has {count} elements instead of {array.size}")
        values = np.frombuffer(_exactly(content, array.size * dtype.itemsize), dtype)
        array[:] = widen_bfloat16(values) if code == "bf16" else values


def _exactly(content: IO[bytes], count: int) -> bytes:
    found = content.read(count)
    if len(found) != count:
        raise Damaged("the file ends within a storage")
    return found


def read_torch_legacy(path: Path) -> tuple[Any, bool]:
    """What ``torch.save`` wrote, tensors as read-only arrays; and whether bfloat16 was widened to float32.

    Raises Refused or Damaged.
    """
    size = path.stat().st_size
    if not size:
        raise Damaged("it is empty")
    budget = Budget(3 * size)
    builders: dict[tuple[str, str], Builder] = {**numpy_builders(budget), **rebuilding_builders()}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        content = cast(IO[bytes], mapped)
        if (
            read_pickle(content, builders, budget) != MAGIC
            or read_pickle(content, builders, budget) != VERSION
        ):
            raise Damaged("it does not begin as torch's checkpoints do")
        system = read_pickle(content, builders, budget)
        if not isinstance(system, dict) or not isinstance(system.get("little_endian"), bool):
            raise Damaged("it does not say its byte order")
        storages = _Storages(budget)
        tree = read_pickle(content, builders, budget, storages, objects=True)
        keys = read_pickle(content, builders, budget)
        if not isinstance(keys, list) or len(keys) != len(storages.made) or set(keys) != set(storages.made):
            raise Damaged("its list of storages is not that of its tensors")
        for key in keys:
            storages.fill(key, content, "<" if system["little_endian"] else ">")
    return tree, any(code == "bf16" for code, _ in storages.made.values())
