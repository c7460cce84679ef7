"""Reads the pickles that hold weights without running them.

A pickle is a program for a small stack machine. Python's own machine imports and calls whatever the program
names. This one knows the few instructions that a dict of arrays needs, imports nothing, and answers a call
only through a table of builders given by the reader of the format. Anything else is refused; an object of a class
that weights do not need may be stood in for, by a name without content.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO, Any

import numpy as np

NUMERIC_KINDS = frozenset("biufc")
MAX_DIMENSIONS = 32


@dataclass(frozen=True)
class Global:
    """A name the pickle would have imported; never imported here."""

    module: str
    name: str


@dataclass(eq=False)
class Foreign:
    """Stands for an object whose class weights do not need. Its content is dropped; nothing of it is run."""

    kind: str


class Damaged(ValueError):
    """The pickle does not follow its own format."""


class Refused(ValueError):
    """The pickle asks for something that weights do not need."""


@dataclass
class Budget:
    """Bytes that the builders may still produce; a small file must not unfold into a large one."""

    left: int

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise Refused("unfolds into more data than the file holds")


@dataclass(eq=False)
class PendingDtype:
    """A numpy dtype under construction: its character code, then its byte order."""

    code: str
    order: str = "="

    def finish(self) -> np.dtype:
        code = self.code if self.code[:1].isalpha() else self.code[1:]
        if code[:1] not in NUMERIC_KINDS or not code[1:].isdigit():
            raise Refused(f"holds an array of dtype {self.code[:20]!r}, which is not numeric")
        return np.dtype(f"{self.order if self.order in '<>' else '='}{code}")


@dataclass(eq=False)
class PendingArray:
    """A numpy array under construction: it is made when its state arrives.

    One without axes may hold a single object, as ``np.save`` makes of a dict: that is ``boxed``.
    """

    array: np.ndarray | None = None
    boxed: Any = None


Builder = Callable[..., Any]

VALUES = frozenset(
    {
        *(("builtins", name) for name in ("set", "frozenset", "complex", "slice", "range", "bytearray")),
        *(("__builtin__", name) for name in ("set", "frozenset", "complex", "slice", "xrange", "bytearray")),
        *(("collections", name) for name in ("Counter", "deque")),
        *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(
            ("pathlib", name)
            for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
        ),
        ("copyreg", "_reconstructor"),
        ("copy_reg", "_reconstructor"),
        ("functools", "partial"),
        ("types", "SimpleNamespace"),
        ("torch", "device"),
    }
)
"""Calls that only make a value, beside weights as options and counters: stood in for, where objects may be."""


@dataclass
class _Machine:
    builders: Mapping[tuple[str, str], Builder]
    persistent: Callable[[Any], Any] | None
    budget: Budget
    objects: bool = False
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Damaged("stack underflow")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def set_items(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Foreign):
            return
        if type(target) is not dict or len(items) % 2:
            raise Refused("sets items of something that is not a dict")
        for name, value in zip(items[::2], items[1::2], strict=True):
            key = f"{name.module}.{name.name}" if self.objects and isinstance(name, Global) else name
            # A deeply nested tuple as a key would overflow C's stack when hashed.
            if not isinstance(key, (str, int, float, type(None))):
                raise Refused(f"uses a {type(key).__name__} as a key")
            target[key] = value

    def append(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Foreign):
            return
        if type(target) is not list:
            raise Refused("appends to something that is not a list")
        target.extend(items)

    def call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise Refused("calls something that is not a named function")
        builder = self.builders.get((function.module, function.name))
        if builder is not None:
            return builder(*arguments)
        if self.objects and (function.module, function.name) in VALUES:
            known = arguments[0] if function.name == "_reconstructor" and arguments else function
            return self.stand_in(known)
        raise Refused(f"asks for {function.module}.{function.name}{self.where()}"[:200])

    def stand_in(self, of: Any) -> Foreign:
        if not isinstance(of, Global):
            raise Refused("makes an object of something that is not a class")
        return Foreign(f"{of.module}.{of.name}"[:100])

    def where(self) -> str:
        """The keys that lead to what is being made, in words; nothing where none is known."""
        # A dict that is being filled: a mark stands behind it, or it has one entry alone and is still empty.
        filled = [
            at + 1
            for at, (item, following) in enumerate(pairwise([*self.stack, None]))
            if isinstance(item, dict) and (at + 1 in self.marks or (not item and isinstance(following, str)))
        ]
        path = []
        for start, inner in pairwise([*filled, 0]):
            # Keys and values by turns: the last key without a value leads to what is being made.
            end = inner - 1 if inner else min([m for m in self.marks if m > start], default=len(self.stack))
            keys = self.stack[start:end:2]
            path += [keys[-1]] if keys and isinstance(keys[-1], str) else []
        return f" under {'.'.join(path)[:80]!r}" if path else ""

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, PendingDtype):
            _set_dtype_state(target, state)
        elif isinstance(target, PendingArray):
            _set_array_state(target, state, self.budget)
        elif type(target) is not dict and not isinstance(target, Foreign):
            # An OrderedDict's attributes (torch's _metadata) are dropped; nothing else has a state.
            raise Refused("sets the state of something that is not an array")


def _set_dtype_state(target: PendingDtype, state: Any) -> None:
    # (version, byte order, subdtype, names, fields, itemsize, alignment, flags)
    order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
    if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
        raise Refused("holds an array of a structured dtype")
    target.order = order


def _set_array_state(target: PendingArray, state: Any, budget: Budget) -> None:
    _version, shape, dtype, fortran, data = state
    if isinstance(data, str):
        data = data.encode("latin-1")
    if isinstance(dtype, PendingDtype) and dtype.code == "O8" and shape == () and isinstance(data, list):
        (target.boxed,) = data
        return
    if not isinstance(dtype, PendingDtype) or not isinstance(data, (bytes, bytearray)):
        raise Refused("holds an array of Python objects")
    budget.spend(len(data))
    target.array = make_array(data, dtype.finish(), shape, "F" if fortran else "C")


def make_array(data: bytes | bytearray, dtype: np.dtype, shape: Any, order: Any = "C") -> np.ndarray:
    """A read-only view of ``data``, in native byte order; its size must be exactly the shape's.

    Raises Damaged when the sizes do not fit.
    """
    check_shape(shape)
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize != len(data):
        raise Damaged(f"an array of shape {shape} and dtype {dtype} comes with {len(data)} bytes")
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    return array.astype(dtype.newbyteorder("="), copy=False)


def check_shape(shape: Any) -> None:
    """Raise Damaged unless ``shape`` is a tuple of sizes."""
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise Damaged("a shape is not a tuple of sizes")
    if any(type(size) is not int or size < 0 for size in shape):
        raise Damaged("a shape is not a tuple of sizes")


def numpy_builders(budget: Budget) -> dict[tuple[str, str], Builder]:
    """The calls that a pickled numpy array makes, answered without numpy's own reconstruction."""

    def reconstruct(subtype: Any, _shape: Any, _code: Any) -> PendingArray:
        if subtype != Global("numpy", "ndarray"):
            raise Refused("holds a subclass of numpy.ndarray")
        return PendingArray()

    def make_dtype(code: Any, *_flags: Any) -> PendingDtype:
        if not isinstance(code, str):
            raise Refused("holds a dtype without a code")
        return PendingDtype(code)

    def scalar(dtype: Any, data: Any) -> Any:
        if not isinstance(dtype, PendingDtype):
            raise Refused("holds a scalar without a dtype")
        raw = data.encode("latin-1") if isinstance(data, str) else data
        return make_array(raw, dtype.finish(), ())[()].item()

    def encode(text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise Refused("encodes something other than bytes")
        budget.spend(len(text))
        return text.encode("latin-1")

    builders: dict[tuple[str, str], Builder] = {
        ("numpy", "dtype"): make_dtype,
        ("_codecs", "encode"): encode,
        ("collections", "OrderedDict"): lambda: {},
        ("collections", "defaultdict"): lambda *_factory: {},
        ("builtins", "tuple"): _as_tuple,
        ("__builtin__", "tuple"): _as_tuple,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        builders[module, "_reconstruct"] = reconstruct
        builders[module, "scalar"] = scalar
    return builders


def _as_tuple(items: Any) -> tuple:
    if not isinstance(items, (tuple, list)):
        raise Refused("makes a tuple from something else")
    return tuple(items)


def read_pickle(
    stream: IO[bytes],
    builders: Mapping[tuple[str, str], Builder],
    budget: Budget,
    persistent: Callable[[Any], Any] | None = None,
    objects: bool = False,
) -> Any:
    """What the pickle describes, of dicts, lists, tuples, numbers, strings and what the builders make.

    ``persistent`` answers the pickle's references to data outside it (torch's storages). With ``objects`` a
    ``Foreign`` stands for each object of another class; without it they are refused.
    Raises Refused or Damaged.
    """
    machine = _Machine(builders, persistent, budget, objects)
    try:
        return _run(machine, stream)
    except (Refused, Damaged):
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError, struct.error) as error:
        raise Damaged(f"{type(error).__name__}: {str(error)[:80]}") from error


def _run(machine: _Machine, stream: IO[bytes]) -> Any:
    stack, memo = machine.stack, machine.memo
    argument: Any
    for opcode, argument, _position in pickletools.genops(stream):
        name = opcode.name
        if name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _PUSH_CONSTANT:
            stack.append(_PUSH_CONSTANT[name]())
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name == "MARK":
            machine.marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(machine.pop_to_mark()))
        elif name in _TUPLES:
            stack.append(tuple(machine.pop(_TUPLES[name])))
        elif name == "SETITEM":
            items = machine.pop(2)
            machine.set_items(stack[-1], items)
        elif name == "SETITEMS":
            items = machine.pop_to_mark()
            machine.set_items(stack[-1], items)
        elif name == "APPEND":
            items = machine.pop(1)
            machine.append(stack[-1], items)
        elif name == "APPENDS":
            items = machine.pop_to_mark()
            machine.append(stack[-1], items)
        elif name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            stack.append(Global(module, attribute))
        elif name == "STACK_GLOBAL":
            module, attribute = machine.pop(2)
            if not isinstance(module, str) or not isinstance(attribute, str):
                raise Damaged("a global's name is not text")
            stack.append(Global(module, attribute))
        elif name == "REDUCE":
            function, arguments = machine.pop(2)
            stack.append(machine.call(function, arguments))
        elif name == "BUILD":
            (state,) = machine.pop(1)
            machine.build(stack[-1], state)
        elif name in ("NEWOBJ", "NEWOBJ_EX") and machine.objects:
            made = machine.pop(2 if name == "NEWOBJ" else 3)
            stack.append(machine.stand_in(made[0]))
        elif name == "EMPTY_SET" and machine.objects:
            stack.append(Foreign("builtins.set"))
        elif name == "FROZENSET" and machine.objects:
            machine.pop_to_mark()
            stack.append(Foreign("builtins.frozenset"))
        elif name == "ADDITEMS" and machine.objects:
            machine.pop_to_mark()
        elif name == "BINPERSID" and machine.persistent is not None:
            (reference,) = machine.pop(1)
            stack.append(machine.persistent(reference))
        elif name == "STOP":
            if len(stack) != 1:
                raise Damaged("the pickle ends with an uneven stack")
            return stack[0]
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"uses the pickle instruction {name}")
    raise Damaged("the pickle has no end")


_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_PUSH_ARGUMENT = frozenset((*_NUMBERS, *_TEXTS, *_BYTES))
_PUSH_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
