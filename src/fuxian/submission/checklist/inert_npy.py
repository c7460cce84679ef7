"""Is a ``.npy`` of dtype object, such as the official alignment tool writes, a mere dict of arrays?

Decided from the pickle's instructions, which are listed and never run: every name that it would import must be one of
numpy's array builders, named so plainly that no other name can stand in its place.
"""

from __future__ import annotations

import io
import pickletools

import numpy as np

ALLOWED = frozenset(
    {
        "numpy ndarray",
        "numpy dtype",
        "_codecs encode",  # bytes, as protocol 2 writes them
        *(
            f"numpy.{core}.{name}"
            for core in ("core", "_core")
            for name in ("multiarray _reconstruct", "multiarray scalar", "numeric _frombuffer")
        ),
    }
)
REFUSED = frozenset(
    {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER"}
)
STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
STORES = frozenset({"BINPUT", "LONG_BINPUT", "PUT"})
FETCHES = frozenset({"BINGET", "LONG_BINGET", "GET"})


def is_inert_npy(content: bytes) -> bool:
    """Whether loading the file with numpy's pickles allowed could only build arrays, numbers and containers."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = read(stream)
        if dtype != np.dtype(object):
            return False
        return _names_only_builders(stream)
    except (
        ValueError,
        EOFError,
        SyntaxError,
        KeyError,
        IndexError,
        RecursionError,
        MemoryError,
        OverflowError,
    ):
        return False


def _names_only_builders(pickled: io.BytesIO) -> bool:
    # A string counts as pushed only until another instruction comes, so that STACK_GLOBAL takes just these two.
    pushed: list[str] = []
    memo: dict[int, str | None] = {}
    for operation, argument, _ in pickletools.genops(pickled):
        name = operation.name
        if name in REFUSED or (name == "GLOBAL" and argument not in ALLOWED):
            return False
        if name == "STACK_GLOBAL" and " ".join(pushed[-2:]) not in ALLOWED:
            return False
        if name == "MEMOIZE":
            memo[len(memo)] = pushed[-1] if pushed else None
        elif name in STORES:
            memo[int(argument or 0)] = pushed[-1] if pushed else None
        elif name in STRINGS:
            pushed.append(str(argument))
        elif name in FETCHES and (known := memo.get(int(argument or 0))) is not None:
            pushed.append(known)
        else:
            pushed = []
    return True
