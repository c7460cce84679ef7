"""Pickles that would run code under Python's own reader: each control shows that it would."""

import collections
import contextlib
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest

from fuxian.errors import InputError
from fuxian.weights import load_tensors


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.recipe = (function, arguments)

    def __reduce__(self):
        return self.recipe


def dangerous(kind, marker):
    """The objects whose pickles create the file ``marker`` when Python unpickles them."""
    touch = f"open({str(marker)!r}, 'w').close()"
    command = f"touch {marker}"
    return {
        "os.system": lambda: Call(os.system, command),
        "builtins.eval": lambda: Call(eval, f"__import__('os').system({command!r})"),
        "builtins.exec": lambda: Call(exec, touch),
        "nested in a dict": lambda: {
            "state_dict": {"weight": np.ones(2), "x": [({"y": Call(exec, touch)},)]}
        },
        "as a dict key": lambda: {Call(exec, touch): 1},
        "as an array's shape": lambda: Call(np.empty, Call(exec, touch)),
        "object array": lambda: {"w": np.array([Call(exec, touch)], dtype=object)},
        "ordered dict's items": lambda: Call(collections.OrderedDict, [("a", Call(exec, touch))]),
        "numpy's own loader": lambda: {"w": Call(np.fromfunction, Call(exec, touch), (2,))},
    }[kind]()


KINDS = (
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "nested in a dict",
    "as a dict key",
    "as an array's shape",
    "object array",
    "ordered dict's items",
    "numpy's own loader",
)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_code_in_a_pickle_is_refused_and_never_runs(tmp_path, kind, protocol):
    marker = tmp_path / "ran"
    payload = pickle.dumps(dangerous(kind, marker), protocol)
    path = tmp_path / "evil.pdparams"
    path.write_bytes(payload)
    with pytest.raises(InputError, match=r"evil\.pdparams: refused"):
        load_tensors(path)
    assert not marker.exists()
    with contextlib.suppress(Exception):
        pickle.loads(payload)  # noqa: S301
    assert marker.exists(), "the control did not run: this test shows nothing"


def handmade(*parts):
    return b"\x80\x04" + b"".join(parts) + b"."


def text(words):
    return b"\x8c" + bytes([len(words)]) + words.encode()


def imported(module, name):
    return text(module) + text(name) + b"\x93"


OS_SYSTEM = imported("os", "system")
RECONSTRUCT = imported("numpy._core.multiarray", "_reconstruct")
NDARRAY = imported("numpy", "ndarray")


@pytest.mark.parametrize(
    "content",
    [
        # The forbidden function comes out of the memo, under a harmless one's number.
        handmade(
            imported("numpy", "dtype"), b"\x94", OS_SYSTEM, b"q\x00", b"h\x00", text("touch {m}"), b"\x85R"
        ),
        # A name with a path in it, which Python resolves attribute by attribute.
        handmade(imported("numpy", "dtype.__class__.__base__"), text("x"), b"\x85R"),
        # The class of the call is itself the result of a call.
        handmade(RECONSTRUCT, NDARRAY, b"K\x00\x85C\x01b\x87R", text("x"), b"\x85R"),
        # Instances by other instructions than a call.
        handmade(OS_SYSTEM, text("touch {m}"), b"\x85\x81"),
        handmade(b"(", OS_SYSTEM, text("touch {m}"), b"o"),
        b"\x80\x02(S'touch {m}'\nios\nsystem\n.",
        b"cos\nsystem\n(S'touch {m}'\ntR.",
        # State set on what is no array.
        handmade(OS_SYSTEM, b"}", text("__code__"), text("x"), b"sb"),
        # Extension registry, persistent references, protocol 5 buffers.
        handmade(b"\x82\x01"),
        b"\x80\x04Pos.system\n.",
        b"\x80\x05\x97.",
        # A tuple as deep as C's stack, as a key.
        handmade(b"}", b")" + b"\x85" * 200_000, b"K\x01s"),
    ],
)
def test_tricks_with_the_machine_are_refused(tmp_path, content):
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pdparams"
    path.write_bytes(content.replace(b"{m}", str(marker).encode()))
    with pytest.raises(InputError, match=r"evil\.pdparams: (refused|the file is damaged)"):
        load_tensors(path)
    assert not marker.exists()


def array_pickle(shape, code, data, fortran=False):
    """A pickled array as numpy writes it, with contents of our choice."""
    numbers = b"".join(b"\x8a\x08" + struct.pack("<q", size) for size in shape)
    dtype = imported("numpy", "dtype") + text(code) + b"\x89\x88\x87R"
    dtype += b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01" + b"(" + numbers + b"t" + dtype + (b"\x88" if fortran else b"\x89")
    state += b"B" + struct.pack("<I", len(data)) + data + b"t"
    return handmade(b"}", text("w"), RECONSTRUCT, NDARRAY, b"K\x00\x85C\x01b\x87R", state, b"bs")


def test_the_handmade_array_is_a_good_one(tmp_path):
    content = array_pickle((2, 1), "f4", np.array([1, 2], "<f4").tobytes())
    assert pickle.loads(content)["w"].tolist() == [[1], [2]]  # noqa: S301
    (tmp_path / "a.pdparams").write_bytes(content)
    assert load_tensors(tmp_path / "a.pdparams")["w"].tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("shape", "code", "data"),
    [
        ((1 << 40,), "f8", b"\0" * 8),
        ((1 << 40, 0), "f8", b"\0" * 8),
        ((-1,), "f8", b"\0" * 8),
        ((3,), "f8", b"\0" * 16),
        ((1,) * 64, "f8", b"\0" * 8),
        ((1,), "O8", b"\0" * 8),
        ((1,), "V8", b"\0" * 8),
        ((1,), "U2", b"\0" * 8),
        ((1,), "f8,f8", b"\0" * 16),
        ((1,), "f99999999999", b"\0" * 8),
        ((1,), "", b"\0" * 8),
    ],
)
def test_arrays_that_lie_are_refused(tmp_path, shape, code, data):
    (tmp_path / "a.pdparams").write_bytes(array_pickle(shape, code, data))
    with pytest.raises(InputError):
        load_tensors(tmp_path / "a.pdparams")


def test_a_lying_length_asks_for_no_memory(tmp_path):
    (tmp_path / "a.pdparams").write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.")
    with pytest.raises(InputError, match="damaged"):
        load_tensors(tmp_path / "a.pdparams")


def test_structures_that_unfold_without_end_are_refused(tmp_path):
    tree = {"w": np.ones(1)}
    for _ in range(40):
        tree = {"a": tree, "b": tree}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(tree, 4))
    with pytest.raises(InputError, match="nests deeper"):
        load_tensors(tmp_path / "a.pdparams")
    endless = {"w": np.ones(1)}
    endless["self"] = endless
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(endless, 4))
    with pytest.raises(InputError, match="nests deeper"):
        load_tensors(tmp_path / "a.pdparams")


def test_python_2_pickles_are_read(tmp_path):
    content = pickle.dumps({"w": np.arange(3, dtype="f4")}, protocol=2)
    assert "_codecs encode" in [argument for _, argument, _ in pickletools.genops(content)]
    (tmp_path / "a.pdparams").write_bytes(content)
    assert load_tensors(tmp_path / "a.pdparams")["w"].tolist() == [0, 1, 2]
