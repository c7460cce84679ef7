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
        *(
            f"numpy.{core}.multiarray {name}"
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
    }
)
REFUSED = frozenset(
    {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER"}
)
STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
MEMO = frozenset({"MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"})


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
        # A string stays "last" only until another instruction comes, so that STACK_GLOBAL takes just these two.
        last: list[str] = []
        for operation, argument, _ in pickletools.genops(stream):
            name = operation.name
            if name in REFUSED or (name == "GLOBAL" and argument not in ALLOWED):
                return False
            if name == "STACK_GLOBAL" and " ".join(last[-2:]) not in ALLOWED:
                return False
            if name in STRINGS:
                last.append(str(argument))
            elif name not in MEMO:
                last = []
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
    return True
