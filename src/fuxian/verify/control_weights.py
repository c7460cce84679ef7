"""Weights for the controls: of no worth (the elements of each tensor shuffled, or drawn anew), nudged, or rounded.

All keep names, shapes, types and the file's format, so that only the numbers differ from the submitted ones. Nudged
weights are worth as much as the submitted ones, and are another file.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.verify.entrant_weights import read_weights
from fuxian.weights import save_tensors

Kind = Literal["shuffled", "fresh", "nudged", "rounded"]
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
PICKLES = (".pkl", ".pickle")
LARGEST_HEADER = 100_000_000
NUDGE = 1e-3
"""Relative: as far as half precision would round."""
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
_INTEGERS = {"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8}


def write_control(kind: Kind, weights: Path, out: Path, seed: int) -> None:
    """Writes the file ``out`` of the same ending as ``weights``.

    Raises InputError where the file cannot be read or written in its format, or holds nothing that would change.
    """
    change = {"shuffled": _shuffled, "fresh": _fresh, "nudged": _nudged, "rounded": _rounded}[kind]
    random = np.random.default_rng(seed)
    suffix = weights.suffix.lower()
    if suffix == ".safetensors":
        changed = _write_safetensors(weights, out, change, random)
    else:
        stored = read_weights(weights)
        if stored.notes:
            raise InputError(f"{weights.name}: {stored.notes[0]}; save the bare tensors as .safetensors.")
        made = {name: _changed(tensor, change, random) for name, tensor in stored.tensors.items()}
        changed = any(not np.array_equal(made[name], tensor) for name, tensor in stored.tensors.items())
        if suffix == ".npz":
            with out.open("wb") as file:
                np.savez(file, allow_pickle=False, **made)
        elif suffix in PICKLES:
            _write_pickle(out, made)
        else:
            save_tensors(out, made)
    if not changed:
        raise InputError(f"{weights.name}: it holds no tensor whose numbers could be changed.")


def _write_pickle(out: Path, tensors: dict[str, np.ndarray]) -> None:
    """A list where names are its places, else a dict; read by every numpy."""
    places = [str(number) for number in range(len(tensors))]
    whole = list(tensors.values()) if list(tensors) == places else tensors
    content = pickle.dumps(whole, protocol=2)
    # The module that numpy 2 names is not there in numpy 1, and the old name is in both.
    out.write_bytes(content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def _changed(tensor: np.ndarray, change: Change, random: np.random.Generator) -> np.ndarray:
    # Integers of one axis count steps and index tables; larger ones may be quantised weights.
    if tensor.dtype.kind == "f" or (tensor.dtype.kind in "iu" and tensor.ndim >= 2):
        return change(tensor, random)
    return tensor


def _shuffled(tensor: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.permutation(tensor.reshape(-1)).reshape(tensor.shape)


def _fresh(tensor: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Normal numbers of the tensor's mean and deviation, none negative where it has none: variances stay such."""
    if tensor.size == 0:
        return tensor
    if tensor.dtype.kind != "f":
        return _shuffled(tensor, random)
    wide = tensor.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    if finite.size == 0:
        return tensor
    drawn = random.normal(finite.mean(), finite.std(), tensor.shape)
    if finite.min() >= 0:
        drawn = np.abs(drawn)
    with np.errstate(over="ignore"):
        return drawn.astype(tensor.dtype)


def _nudged(tensor: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each number moved by about a thousandth of itself."""
    return _moved(tensor, random, least=NUDGE, digits=2)


def _rounded(tensor: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each number moved by about a unit in its last place."""
    return _moved(tensor, random, least=0, digits=1)


def _moved(tensor: np.ndarray, random: np.random.Generator, *, least: float, digits: float) -> np.ndarray:
    """By about ``least`` of itself, or so many units in the last place; integers stay, for tables of them index
    others."""
    if tensor.dtype.kind != "f":
        return tensor
    coarse = max(least, digits * float(np.finfo(tensor.dtype).eps))
    with np.errstate(over="ignore", invalid="ignore"):
        return (tensor.astype(np.float64) * (1 + coarse * random.standard_normal(tensor.shape))).astype(
            tensor.dtype
        )


def _write_safetensors(weights: Path, out: Path, change: Change, random: np.random.Generator) -> bool:
    """In place in a copy of the file, so that every type and the header stay as they are."""
    read_weights(weights)  # what cannot be read is refused here
    content = bytearray(weights.read_bytes())
    length = int.from_bytes(content[:8], "little")
    if length > min(LARGEST_HEADER, len(content)):
        raise InputError(f"{weights.name}: its header is damaged; save it again.")
    header = json.loads(bytes(content[8 : 8 + length]))
    before = bytes(content)
    for name in sorted(header.keys() - {"__metadata__"}):
        about = header[name]
        begin, end = (8 + length + offset for offset in about["data_offsets"])
        code = about["dtype"]
        raw = content[begin:end]
        if code in _FLOATS or code in _INTEGERS:
            tensor = np.frombuffer(raw, {**_FLOATS, **_INTEGERS}[code]).reshape(about["shape"])
            content[begin:end] = np.ascontiguousarray(_changed(tensor, change, random)).tobytes()
        elif code == "BF16":
            bits = np.frombuffer(raw, np.uint16)
            wide = (bits.astype(np.uint32) << 16).view(np.float32)
            # Rounded, not cut: a nudge is smaller than the last of its bits.
            narrow = (_changed(wide, change, random).view(np.uint32).astype(np.uint64) + 0x8000) >> 16
            content[begin:end] = narrow.astype(np.uint16).tobytes()
    out.write_bytes(content)
    return bytes(content) != before
