"""Files of weights: reads every usual format into numpy arrays and runs no code from them.

Formats: ``.safetensors``; ``.pdparams`` and ``.pdopt`` (Paddle); ``.pt``, ``.pth`` and ``.bin`` (torch's
formats, read without torch); ``.npz`` and ``.npy``.

Files may nest their tensors in dicts, lists and tuples. The rule: a tensor's name is its path, joined by
dots. When exactly one of ``state_dict``, ``model_state_dict``, ``model`` and ``params`` is a dict with tensors, and
only single numbers lie beside it, those are the weights, named from there, and the rest is left out with a note.
``key`` chooses another part by its path; ``read_parts`` gives every part, for whoever knows what must fit.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import safetensors
import safetensors.numpy

from fuxian.errors import InputError, PlatformError
from fuxian.weights import parts
from fuxian.weights.inert_pickle import (
    NUMERIC_KINDS,
    Budget,
    Damaged,
    Foreign,
    PendingArray,
    Refused,
    make_array,
    numpy_builders,
    read_pickle,
)
from fuxian.weights.torch_legacy import read_torch_legacy
from fuxian.weights.torch_zip import read_torch_zip, widen_bfloat16

PADDLE_SPLIT_TABLE = "UnpackBigParamInfor@@"
MAX_NPZ_RATIO = 100
MAX_NPZ_MEMBERS = 20_000
FREE_NPZ_BYTES = 1 << 30
BFLOAT16_NOTE = "bfloat16 tensors were widened to float32, which is exact"


@dataclass
class Stored:
    """What a file of weights holds.

    ``tensors``: numpy arrays by name, possibly read-only views; ``notes``: what was changed or left out, a
    sentence each; ``metadata``: the header of a safetensors file; ``part``: the key of what was read, empty for the
    whole file; ``objects``: what lay in the file that only its own code could open, by key.
    """

    tensors: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    part: str = ""
    objects: list[str] = field(default_factory=list)


def load_tensors(path: str | Path, key: str | None = None) -> dict[str, np.ndarray]:
    """The file's tensors by name, as numpy arrays (possibly read-only); bfloat16 widened to float32.

    ``key`` is the path of a part of a nested file. Raises InputError when the file is missing, damaged, or
    asks for more than weights.
    """
    return read(path, key).tensors


def read(path: str | Path, key: str | None = None) -> Stored:
    """The file's tensors with notes and metadata. Raises InputError as ``load_tensors`` does."""
    path = Path(path)
    with _said(path):
        held = _open(path)
        return _stored(path, held, key if key else parts.chosen_part(path, held[0]))


def read_parts(path: str | Path) -> list[Stored]:
    """Every part of the file that holds tensors of its own, the likeliest first, and at last the whole file.

    Raises InputError as ``load_tensors`` does, but not where several parts may be meant.
    """
    path = Path(path)
    with _said(path):
        held = _open(path)
        if not isinstance(held[0], dict):
            parts.part(path, held[0], "")
        return [_stored(path, held, key) for key in parts.parts(held[0])]


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """What cannot be read becomes one sentence about the file."""
    try:
        yield
    except Refused as error:
        help_ = "" if "`" in str(error) else "; save the bare weights again"
        raise InputError(f"{path}: refused, because it {error}{help_}.") from error
    except Damaged as error:
        raise InputError(f"{path}: the file is damaged ({error}); fetch or save it again.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the file.") from error


def _open(path: Path) -> _Read:
    # model_best.pth.tar, which PyTorch's ImageNet example writes, is a .pth by another name.
    reader = _read_torch if path.name.lower().endswith(".pth.tar") else _READERS.get(path.suffix.lower())
    if reader is None and _begins_as_pickle(path):
        reader = _read_paddle
    if reader is None:
        raise InputError(
            f"{path}: {path.suffix or 'a name without an ending'} is not a known format of weights;"
            f" give one of {', '.join(_READERS)}."
        )
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path.")
    return reader(path)


def _stored(path: Path, held: _Read, key: str) -> Stored:
    tree, notes, metadata = held
    notes = list(notes)
    rest = parts.left_out(tree, key) if key else []
    if rest:
        notes.append(f"only {key!r} was read; left out: {', '.join(rest[:20])}")
    tensors = parts.flatten(parts.part(path, tree, key), notes)
    objects = parts.objects(tree)
    if not tensors and isinstance(tree, Foreign):
        raise Refused(parts.in_object(path, tree, ""))
    if path.suffix.lower() in (".pdparams", ".pdopt"):
        _widen_paddle_bfloat16(tensors, notes)
    return Stored(tensors, notes, metadata, key, objects)


_Read = tuple[Any, list[str], dict[str, str]]


def _begins_as_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) == b"\x80"
    except OSError:
        return False


def read_inert_pickle(path: Path) -> Any:
    """What a pickle holds whose instructions build arrays, numbers, text and containers of these alone.

    Raises InputError for any other, and runs nothing of it.
    """
    with _said(path):
        return _read_paddle(path, objects=False)[0]


def read_inert_object(path: Path) -> Any:
    """What a ``.npy`` of one pickled object holds, read as ``read_inert_pickle`` reads; None for any other file.

    Raises InputError for what that refuses.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path.")
    with _said(path), path.open("rb") as stream:
        return _boxed(stream, path.stat().st_size)


def as_array(held: Any) -> np.ndarray:
    """The array, or the number as one, that was read from a pickle; of dtype object for anything else."""
    if isinstance(held, PendingArray):
        return held.array if held.array is not None else np.asarray(None)
    return np.asarray(held)


def _read_safetensors(path: Path) -> _Read:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
            dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            unknown = sorted({d for d in dtypes.values() if d not in safetensors.numpy._TYPES} - {"BF16"})
            if unknown:
                raise Refused(f"holds tensors of dtype {', '.join(unknown)}, which numpy does not have")
            if "BF16" not in dtypes.values():
                return {name: file.get_tensor(name) for name in dtypes}, [], metadata
        tensors = {}
        for name, view in safetensors.deserialize(path.read_bytes()):
            bfloat16 = view["dtype"] == "BF16"
            dtype = np.uint16 if bfloat16 else safetensors.numpy._TYPES[view["dtype"]]
            array = np.frombuffer(view["data"], dtype).reshape(view["shape"])
            tensors[name] = widen_bfloat16(array) if bfloat16 else array
        return tensors, [BFLOAT16_NOTE], metadata
    except safetensors.SafetensorError as error:
        raise Damaged(str(error)[:100]) from error
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        # Headers with sizes that no array has: the library leaves them to numpy.
        raise Damaged(f"its header names what cannot be: {str(error)[:80]}") from error


def _read_paddle(path: Path, objects: bool = True) -> _Read:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < 2 or file.read(1) != b"\x80":
            raise Damaged("it is no binary pickle of a dict of arrays")
        budget = Budget(2 * size)
        # A map clamps every read to the file's end, so a lying length cannot ask for memory.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tree = read_pickle(cast(IO[bytes], content), numpy_builders(budget), budget, objects=objects)
    if isinstance(tree, dict) and PADDLE_SPLIT_TABLE in tree:
        raise Refused("splits large parameters (Paddle's pickle protocols 2 and 3)")
    return tree, [], {}


def _read_torch(path: Path) -> _Read:
    legacy = not zipfile.is_zipfile(path)
    tree, widened = read_torch_legacy(path) if legacy else read_torch_zip(path)
    return tree, [BFLOAT16_NOTE] if widened else [], {}


def _read_npz(path: Path) -> _Read:
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > max(FREE_NPZ_BYTES, MAX_NPZ_RATIO * path.stat().st_size):
                raise Refused(f"unfolds into {total / 1e9:.0f} GB, {MAX_NPZ_RATIO} times its size")
            if len(archive.infolist()) > MAX_NPZ_MEMBERS:
                raise Refused(f"holds more than {MAX_NPZ_MEMBERS} arrays")
            tensors = {}
            for member in archive.infolist():
                with archive.open(member) as stream:
                    tensors[member.filename.removesuffix(".npy")] = _read_array(stream, member.file_size)
            return tensors, [], {}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, zlib.error) as error:
        raise Damaged(f"{type(error).__name__}: {str(error)[:80]}") from error


def _read_npy(path: Path) -> _Read:
    with path.open("rb") as stream:
        boxed = _boxed(stream, path.stat().st_size)
        if boxed is not None:
            return boxed, [], {}
        stream.seek(0)
        return {path.stem: _read_array(stream, path.stat().st_size)}, [], {}


def _boxed(stream: IO[bytes], size: int) -> Any:
    """What a ``.npy`` of one pickled object holds, a dict as ``np.save`` writes it; None for any other file."""
    try:
        shape, _, dtype = _NPY_HEADERS[np.lib.format.read_magic(stream)](stream)
    except _NO_HEADER:
        return None
    if not dtype.hasobject or shape:
        return None
    budget = Budget(2 * size)
    held = read_pickle(stream, numpy_builders(budget), budget)
    return held.boxed if isinstance(held, PendingArray) else None


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """One ``.npy``. The header's claim is held against the file's size before any memory is taken."""
    try:
        shape, fortran, dtype = _NPY_HEADERS[np.lib.format.read_magic(stream)](stream)
    except _NO_HEADER as error:
        raise Damaged(f"no readable .npy header: {str(error)[:80]}") from error
    if dtype.kind not in NUMERIC_KINDS:
        raise Refused(f"holds an array of dtype {dtype}, which is not numeric")
    return make_array(stream.read(size), dtype, shape, "F" if fortran else "C")


_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_NO_HEADER = (ValueError, KeyError, SyntaxError, RecursionError, MemoryError)
_READERS: dict[str, Callable[[Path], _Read]] = {
    ".safetensors": _read_safetensors,
    ".pdparams": _read_paddle,
    ".pdopt": _read_paddle,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
    ".npz": _read_npz,
    ".npy": _read_npy,
}


def _widen_paddle_bfloat16(tensors: dict[str, np.ndarray], notes: list[str]) -> None:
    """Paddle has no uint16: it writes bfloat16's bits under that dtype."""
    widened: dict[int, np.ndarray] = {}
    for name, array in tensors.items():
        if array.dtype == np.uint16:
            if id(array) not in widened:
                widened[id(array)] = widen_bfloat16(array)
            tensors[name] = widened[id(array)]
    if widened:
        notes.append(BFLOAT16_NOTE)


def save_tensors(
    path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write the tensors so that the file is whole or absent, whatever happens meanwhile.

    The ending chooses the format: ``.safetensors``, ``.pdparams`` (a dict of numpy arrays, as ``paddle.load``
    wants it), ``.npz``, or ``.pt``/``.pth`` (with torch installed). Only safetensors carries ``metadata``.

    Raises InputError for another ending, a tensor that is not numeric, or metadata without a place;
    PlatformError when torch is needed and absent.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: weights can be written as {', '.join(_WRITERS)}; choose such an ending.")
    if metadata and path.suffix.lower() != ".safetensors":
        raise InputError(f"{path}: only .safetensors carries metadata; choose that ending.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first.")
    ready = {name: _plain(path, name, tensor) for name, tensor in tensors.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        writer(Path(temporary), ready, dict(metadata or {}))
        _sync(Path(temporary))
        mode_of_a_new_file(Path(temporary))
        Path(temporary).replace(path)
        _sync(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)


def mode_of_a_new_file(path: Path) -> None:
    """Gives a file that was made for its owner alone the mode that any other new file has here."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def _plain(path: Path, name: str, tensor: np.ndarray) -> np.ndarray:
    array = np.asarray(tensor, order="C")
    if array.dtype.kind not in NUMERIC_KINDS:
        raise InputError(f"{path}: {name!r} has dtype {array.dtype}, which is not numeric; leave it out.")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_safetensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    try:
        safetensors.numpy.save_file(tensors, path, metadata or None)
    except safetensors.SafetensorError as error:
        raise InputError(f"safetensors cannot hold these tensors: {str(error)[:100]}.") from error


def _write_paddle(path: Path, tensors: dict[str, np.ndarray], _metadata: dict[str, str]) -> None:
    with path.open("wb") as file:
        pickle.dump(tensors, file, protocol=4)


def _write_npz(path: Path, tensors: dict[str, np.ndarray], _metadata: dict[str, str]) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **tensors)


def _write_torch(path: Path, tensors: dict[str, np.ndarray], _metadata: dict[str, str]) -> None:
    try:
        import torch
    except ImportError as error:
        raise PlatformError("Writing torch's own format needs torch; write .safetensors instead.") from error
    torch.save({name: torch.tensor(array) for name, array in tensors.items()}, path)


_WRITERS: dict[str, Callable[[Path, dict[str, np.ndarray], dict[str, str]], None]] = {
    ".safetensors": _write_safetensors,
    ".pdparams": _write_paddle,
    ".npz": _write_npz,
    ".pt": _write_torch,
    ".pth": _write_torch,
}
