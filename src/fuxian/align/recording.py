"""A recording: what one recipe did, as a folder of JSON and safetensors.

``recording.json`` holds everything but numbers of tensors: the framework, the environment, the hashes of inputs
and weights, the module tree, the calls, the stages' small results, and where each tensor lies. Tensors stream
into ``tensors-000.safetensors``, ``tensors-001.safetensors``, ...: no more than one shard is held in memory.

Needs neither framework: any program that can write numpy arrays can write a recording for `fuxian align`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fuxian.align import sketch as sketches
from fuxian.errors import InputError
from fuxian.weights.storage import mode_of_a_new_file

FORMAT = 1
SHARD_BYTES = 32 * 2**20
SKETCHED_ABOVE = 10_000
"""Elements above which a tensor of a small recording is kept as a sketch only."""
_SHARD = re.compile(r"tensors-\d{3,6}\.safetensors")


def array_hash(array: np.ndarray) -> str:
    """sha256 over dtype, shape and bytes (little endian, C order)."""
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def regenerate(source: dict[str, Any]) -> np.ndarray:
    """The array that a named numpy seed stands for.

    ``source`` holds ``seed`` (int), ``draw`` (``normal``, ``uniform`` or ``integers``), ``shape``, ``dtype`` and,
    where it applies, ``low``, ``high``, ``scale``. The generator is ``numpy.random.Generator(PCG64(seed))``.
    """
    random = np.random.Generator(np.random.PCG64(int(source["seed"])))
    shape = tuple(int(size) for size in source["shape"])
    if source["draw"] == "normal":
        drawn = random.standard_normal(shape) * source.get("scale", 1.0)
    elif source["draw"] == "uniform":
        drawn = random.uniform(source.get("low", 0.0), source.get("high", 1.0), shape)
    elif source["draw"] == "integers":
        drawn = random.integers(source.get("low", 0), source["high"], shape)
    else:
        raise InputError(
            f"recording.json: draw {source['draw']!r} is unknown; use normal, uniform or integers."
        )
    return np.asarray(drawn, dtype=source["dtype"])


class _Shards:
    """Reads tensors out of a folder's shards. The last one used stays open: opening one reads its whole index, and an
    open one is mapped and counts as memory in use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last = ""
        self._opened: Any = None

    def get(self, shard: str, name: str) -> np.ndarray:
        if shard != self._last:
            self._opened = safe_open(self.folder / shard, framework="numpy")
            self._last = shard
        return self._opened.get_tensor(name)


class RecordingWriter:
    """Writes a recording folder; use as a context manager, or call ``close``.

    >>> with RecordingWriter(folder, framework="jax") as recording:
    ...     recording.put("forward/outputs.0", array)
    ...     recording.data["stages"]["forward"] = {"given": True}
    """

    def __init__(self, folder: Path | str, *, framework: str, small: bool = False) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise InputError(f"{self.folder}: the folder is not empty; name a new one for the recording.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.small = small
        self.data: dict[str, Any] = {"format": FORMAT, "framework": framework, "small": small, "stages": {}}
        self._index: dict[str, dict[str, Any]] = {}
        self._pending: dict[str, np.ndarray] = {}
        self._pending_bytes = 0
        self._shards = 0
        self._written = _Shards(self.folder)

    def put(
        self,
        name: str,
        array: np.ndarray,
        *,
        keep: bool = True,
        whole: bool = False,
        turned: bool = False,
        source: dict | None = None,
    ) -> None:
        """Store a tensor under a name. With ``keep=False``, its sketch alone if it is large.

        ``whole`` keeps every element in a small recording too: what a port must be fed cannot be a sketch.
        ``turned`` says that the other side holds the transpose: then a sketch is of the transpose.
        ``source`` is what ``regenerate`` makes the same array from: then no elements are stored at all.
        Storing under a name again replaces what was there.
        """
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name}: a recording holds numbers, not {array.dtype}; leave this tensor out.")
        entry: dict[str, Any] = {"shape": list(array.shape), "dtype": array.dtype.name}
        if source is not None:
            if not np.array_equal(regenerate(source), array):
                raise InputError(f"{name}: the named seed does not regenerate this array; store it instead.")
            entry["source"] = source
        elif array.size > SKETCHED_ABOVE and ((self.small and not whole) or not keep):
            entry["sketch"] = [_plain(number) for number in sketches.sketch(array.T if turned else array)]
            entry["turned"] = turned
        else:
            self._pending[name] = np.array(array, order="C", copy=True)
            self._pending_bytes += array.nbytes
            entry["shard"] = f"tensors-{self._shards:03d}.safetensors"
        self._index[name] = entry
        if self._pending_bytes >= SHARD_BYTES:
            self._flush()

    def put_sketch(self, name: str, array: np.ndarray) -> None:
        """Store nothing but the sketch, whatever the size."""
        self._index[name] = {
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            "sketch": [_plain(number) for number in sketches.sketch(array)],
        }

    def get(self, name: str) -> np.ndarray:
        """A tensor stored before, read back."""
        if name in self._pending:
            return self._pending[name]
        entry = self._index[name]
        if "source" in entry:
            return regenerate(entry["source"])
        return self._written.get(entry["shard"], name)

    def error(self, name: str, array: np.ndarray) -> float | None:
        """The largest error of an array against the one stored, relative to the largest element.

        From the sketches where the elements were not kept; None where there is nothing to compare with.
        """
        entry = self._index.get(name)
        if entry is None or entry["shape"] != list(array.shape):
            return None
        if "sketch" in entry:
            kept = np.array([float(number) for number in entry["sketch"]])
            return sketches.error(sketches.sketch(array.T if entry.get("turned") else array), kept)
        stored = self.get(name).astype(np.float64)
        size = np.abs(stored).max(initial=0.0)
        worst = np.abs(array - stored).max(initial=0.0)
        return float(worst / size) if size else float(worst)

    def _flush(self) -> None:
        if self._pending:
            shard = self.folder / f"tensors-{self._shards:03d}.safetensors"
            save_file(self._pending, shard)
            mode_of_a_new_file(shard)
            self._shards += 1
            self._pending, self._pending_bytes = {}, 0

    def close(self) -> None:
        """Write what is pending, and ``recording.json`` last: a folder without it is no recording."""
        self._flush()
        self.data["tensors"] = self._index
        text = json.dumps(_plain(self.data), allow_nan=False, separators=(",", ":"))
        (self.folder / "recording.json").write_text(text, encoding="utf-8")

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


class Recording:
    """Reads a recording folder; tensors are read from disk when they are asked for."""

    def __init__(self, folder: Path | str) -> None:
        """Raises InputError when the folder holds no recording, or one that is damaged."""
        self.folder = Path(folder)
        path = self.folder / "recording.json"
        if not path.is_file():
            raise InputError(
                f"{self.folder}: there is no recording.json; give a folder `align record` wrote."
            )
        try:
            self.data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            known = self.data["format"] == FORMAT
            self.tensors: dict[str, dict[str, Any]] = self.data["tensors"]
            self.framework: str = self.data["framework"]
            self.stages: dict[str, Any] = self.data["stages"]
            for entry in self.tensors.values():
                if "shard" in entry and not _SHARD.fullmatch(entry["shard"]):
                    raise InputError(
                        f"{path}: {entry['shard']!r} is no shard of this recording; record again."
                    )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}: not a recording ({error}); record again.") from error
        if not known:
            raise InputError(
                f"{path}: format {self.data['format']} is not the {FORMAT} read here; record again."
            )
        self._shards = _Shards(self.folder)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def names(self, prefix: str) -> Iterator[str]:
        """The names below ``prefix`` (without it), in the order of recording."""
        return (name[len(prefix) :] for name in self.tensors if name.startswith(prefix))

    def kept(self, name: str) -> bool:
        """Whether the elements are there, and not a sketch alone."""
        return "sketch" not in self.tensors[name]

    def get(self, name: str) -> np.ndarray:
        """The elements. Raises InputError where only a sketch was kept, or the file is damaged."""
        entry = self.tensors[name]
        if "source" in entry:
            return regenerate(entry["source"])
        if "shard" not in entry:
            raise InputError(
                f"{self.folder}: {name} is a sketch; record again without --small for its elements."
            )
        try:
            array = self._shards.get(entry["shard"], name)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.folder / entry['shard']}: {error}; record again.") from error
        if list(array.shape) != entry["shape"] or array.dtype.name != entry["dtype"]:
            raise InputError(f"{self.folder}: {name} is not what recording.json says; record again.")
        return array

    def sketch(self, name: str) -> np.ndarray:
        """The sketch, computed where the elements were kept."""
        entry = self.tensors[name]
        return (
            np.array([_number(n) for n in entry["sketch"]])
            if "sketch" in entry
            else sketches.sketch(self.get(name))
        )

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensors[name]["shape"])

    def dtype(self, name: str) -> str:
        """The tensor's element type, as numpy names it."""
        return self.tensors[name]["dtype"]


def _plain(value: Any) -> Any:
    """What JSON holds: numbers of numpy as plain ones, NaN and infinities by name."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (int, float, str, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a recording")


def _number(value: Any) -> float:
    return float(value)
