"""Hostile submissions, each written by a small function into a folder that holds an honest one.

Used by the tests beside this file and by benchmarks/fuzz_submissions.py.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

MANIFEST = """\
claims = ["top1"]
checkpoint = "w.npz"

[paper]
id = "demo"
title = "A demonstration"
authors = ["Someone"]
venue = "Nowhere"
year = 2020
url = "https://example.org/paper"

[[claim]]
id = "top1"
title = "Top 1"
dataset = "d"
split = "test"
metric = "accuracy"
unit = "accuracy"
direction = "higher"
scope = "scaled"
subject = "weights"
target = 0.9
margin = 0.01
checkpoint = "last"
seeds = [0]
iterations = 100

[commands]
evaluate = { run = ["python", "eval.py", "--out={out}"], output = "e.npz" }

[metric]
pattern = 'acc (?P<accuracy>[0-9.]+)'

[log]
file = "train.log"
"""
LOG = "".join(
    f"step: {step} loss: {2 / step:.4f} reader_cost: 0.01 batch_cost: 0.1 ips: 320.0\n"
    for step in range(1, 40)
)


def write_honest(folder: Path) -> Path:
    """A small submission that is read without complaint of its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fuxian.toml").write_text(MANIFEST)
    (folder / "eval.py").write_text("# Licensed under the Apache License, Version 2.0\nprint('acc 0.9')\n")
    (folder / "README.md").write_text("# Introduction\n")
    (folder / "requirements.txt").write_text("paddlepaddle>=3.0\n")
    (folder / "train.log").write_text(LOG)
    np.savez(folder / "w.npz", w=np.ones((4, 4), np.float32))
    return folder


def manifest(change: Callable[[str], str]) -> Callable[[Path], None]:
    """A hostile manifest, made from the honest text."""

    def write(folder: Path) -> None:
        text = change(MANIFEST)
        (folder / "fuxian.toml").write_bytes(
            text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        )

    return write


def swap(old: str, new: str) -> Callable[[Path], None]:
    assert old in MANIFEST
    return manifest(lambda text: text.replace(old, new, 1))


def add(text: str) -> Callable[[Path], None]:
    return manifest(lambda honest: honest + text)


def first(text: str) -> Callable[[Path], None]:
    return manifest(lambda honest: text + honest)


MANIFESTS: dict[str, Callable[[Path], None]] = {
    "header of 200,000 parts": add("\n[" + ".".join("a" * 200_000) + "]\n"),
    "key of 100,000 parts": first(".".join("a" * 100_000) + " = 1\n"),
    "arrays 100,000 deep": first("x = " + "[" * 100_000 + "]" * 100_000 + "\n"),
    "inline tables 5,000 deep": first("x = " + "{a = " * 5000 + "1" + "}" * 5000 + "\n"),
    "integer of 400,000 digits": swap("iterations = 100", "iterations = " + "9" * 400_000),
    "integer of 4,000 digits": swap("iterations = 100", "iterations = " + "9" * 4000),
    "seed of 4,000 digits": swap("seeds = [0]", "seeds = [" + "9" * 4000 + "]"),
    "hexadecimal without end": swap("year = 2020", "year = 0x" + "f" * 400_000),
    "float without end": swap("target = 0.9", "target = 0." + "9" * 500_000),
    "target 1e999": swap("target = 0.9", "target = 1e999"),
    "target nan": swap("target = 0.9", "target = nan"),
    "margin inf": swap("margin = 0.01", "margin = inf"),
    "no UTF-8": manifest(lambda text: b"\xff\xfe" + text.encode()),  # type: ignore[arg-type,return-value]
    "NUL bytes": first("\0\0\0"),
    "two megabytes": first("#" * 2_000_000 + "\n"),
    "5,000 claims": add("".join('[[claim]]\nid = "c"\n' for _ in range(5_000))),
    "escape sequences in a key": first('"\\u001b[2J\\u001b]0;owned\\u0007" = 1\n'),
    "escape sequences in a value": swap('id = "demo"', 'id = "\\u001b[2Jdemo"'),
    "escape sequences in a message": first("\x1b[2J\x1b]0;owned\x07 = = 1\n"),
    "text that runs backwards": swap('direction = "higher"', 'direction = "\\u202ehigher"'),
    "paper that is elsewhere": manifest(lambda text: 'paper = "../../etc/passwd.toml"\n'),
    "paper with escapes": manifest(lambda text: 'paper = "\\u001b]0;x\\u0007.toml"\n'),
    "checkpoint that is elsewhere": swap('checkpoint = "w.npz"', 'checkpoint = "../w.npz"'),
    "checkpoint that is absolute": swap('checkpoint = "w.npz"', 'checkpoint = "/etc/passwd"'),
    "checkpoint with NUL": swap('checkpoint = "w.npz"', 'checkpoint = "w\\u0000.npz"'),
    "checkpoint of a megabyte": swap('checkpoint = "w.npz"', f'checkpoint = "{"w" * 900_000}"'),
    "output that is elsewhere": swap('output = "e.npz"', 'output = "../../e.npz"'),
    "log that is elsewhere": swap('file = "train.log"', 'file = "/proc/self/environ"'),
    "argument with NUL": swap('"eval.py"', '"eval\\u0000.py"'),
    "10,000 arguments": swap('"eval.py"', ", ".join('"x"' for _ in range(10_000))),
    "pattern with look-around": swap("acc (?P<accuracy>[0-9.]+)", "(?<=acc )(?P<accuracy>[0-9.]+)"),
    "pattern with a back-reference": swap("acc (?P<accuracy>[0-9.]+)", r"(?P<accuracy>x)\1"),
    "pattern that repeats repeats": swap(
        "acc (?P<accuracy>[0-9.]+)", "(?P<accuracy>((a{1,1000}){1,1000}){1,1000})"
    ),
    "pattern without end": swap("acc (?P<accuracy>[0-9.]+)", "(?P<accuracy>" + "a?" * 5000 + ")"),
    "pattern of brackets": swap("acc (?P<accuracy>[0-9.]+)", "(" * 200),
    "minutes without end": swap('output = "e.npz" }', 'output = "e.npz", minutes = 1e300 }'),
    "waiver of what is not waived": add('[[waive]]\nid = "pickles"\nreason = "because I want to"\n'),
    "waiver of nothing": add('[[waive]]\nid = "nothing"\nreason = "because I want to"\n'),
    "reason with escapes": add('[[waive]]\nid = "layout"\nreason = "\\u001b[2J\\u001b[2J\\u001b[2J"\n'),
    "folder as a field": first('folder = "/etc"\n'),
    "python of another time": add('[environment]\npython = "3.999"\n'),
    "a table where text is wanted": swap('title = "A demonstration"', "title = { a = 1 }"),
    "dates where text is wanted": swap('title = "A demonstration"', "title = 1979-05-27T07:32:00Z"),
    "url that runs scripts": swap('"https://example.org/paper"', '"javascript:alert(1)"'),
}
"""Each must be refused in one sentence, or checked to its end."""


def npy(shape: str, descr: str = "'<f4'", data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A .npy file with this header, whatever it holds."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-len(header) % 64) + b"\n"
    size = (
        struct.pack("<H", min(len(header), 65535))
        if version == b"\x01\x00"
        else struct.pack("<I", len(header))
    )
    return b"\x93NUMPY" + version + size + header + data


def npz(files: dict[str, bytes], deflated: bool = True) -> bytes:
    made = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", kind, compresslevel=1) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def bomb(megabytes: int) -> bytes:
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("w.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy(f"({megabytes * 262144},)"))
        for _ in range(megabytes):
            member.write(bytes(1 << 20))
    return made.getvalue()


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list, offsets: list, dtype: str = "F32") -> dict:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


class _Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/fuxian-witness",)


def memo_bomb() -> bytes:
    """Lists of the list before, thirty deep: 2**30 leaves from a few hundred bytes."""
    return b"\x80\x04]q\x00" + b"".join(b"]q%c(h%ch%ce" % (n + 1, n, n) for n in range(30)) + b"."


WEIGHTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty npz": ("w.npz", lambda: b""),
    "empty safetensors": ("w.safetensors", lambda: b""),
    "empty pdparams": ("w.pdparams", lambda: b""),
    "text as npz": ("w.npz", lambda: b"hello"),
    "pointer of git LFS": (
        "w.pdparams",
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 99\n",
    ),
    "npz of 700 MB from 3": ("w.npz", lambda: bomb(700)),
    "npz with a lying size": ("w.npz", lambda: npz({"w.npy": npy("(99999999999,)")})),
    "npz with a negative size": ("w.npz", lambda: npz({"w.npy": npy("(-1, 4)")})),
    "npz with a size beyond numbers": ("w.npz", lambda: npz({"w.npy": npy("(" + "9" * 5000 + ",)")})),
    "npz with a nested shape": ("w.npz", lambda: npz({"w.npy": npy("(" * 2000 + ")" * 2000)})),
    "npz of objects": ("w.npz", lambda: npz({"w.npy": npy("(1,)", "'|O'", pickle.dumps([_Evil()]))})),
    "npz of a record": ("w.npz", lambda: npz({"w.npy": npy("(1,)", "[('a', '<f4')]", b"0000")})),
    "npz of text": ("w.npz", lambda: npz({"w.npy": npy("(1,)", "'<U1'", b"0000")})),
    "npz with 100 axes": ("w.npz", lambda: npz({"w.npy": npy("(" + "1," * 100 + ")", data=b"0000")})),
    "npz with names that climb": ("w.npz", lambda: npz({"../../etc/x.npy": npy("()", data=b"0000")})),
    "npz twice the same name": (
        "w.npz",
        lambda: npz({"w.npy": npy("()", data=b"0000")}) + npz({"w.npy": npy("()", data=b"1111")}),
    ),
    "npz of 30,000 members": (
        "w.npz",
        lambda: npz({f"{n}.npy": npy("()", data=b"0000") for n in range(30_000)}),
    ),
    "npz cut short": ("w.npz", lambda: npz({"w.npy": npy("(9,)", data=bytes(36))})[:-30]),
    "npz with a broken stream": (
        "w.npz",
        lambda: npz({"w.npy": npy("(999,)", data=bytes(3996))}).replace(b"\x93NUMPY", b"\x93NUMBY"),
    ),
    "safetensors header longer than the file": ("w.safetensors", lambda: safetensors({}, length=1 << 40)),
    "safetensors header of all bits": ("w.safetensors", lambda: safetensors({}, length=(1 << 64) - 1)),
    "safetensors header no JSON": ("w.safetensors", lambda: safetensors(b"{" * 1000)),
    "safetensors header nested": (
        "w.safetensors",
        lambda: safetensors(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    ),
    "safetensors with negative axes": (
        "w.safetensors",
        lambda: safetensors(tensor([-4, -4], [0, 64]), bytes(64)),
    ),
    "safetensors with huge axes": (
        "w.safetensors",
        lambda: safetensors(tensor([1 << 62, 4], [0, 64]), bytes(64)),
    ),
    "safetensors with axes of none": (
        "w.safetensors",
        lambda: safetensors(tensor([0, 1 << 62], [0, 0]), b""),
    ),
    "safetensors with 1,000 axes": (
        "w.safetensors",
        lambda: safetensors(tensor([1] * 1000, [0, 4]), bytes(4)),
    ),
    "safetensors with offsets swapped": (
        "w.safetensors",
        lambda: safetensors(tensor([4], [16, 0]), bytes(16)),
    ),
    "safetensors beyond the file": ("w.safetensors", lambda: safetensors(tensor([4], [0, 16]), bytes(4))),
    "safetensors of an unknown type": (
        "w.safetensors",
        lambda: safetensors(tensor([4], [0, 4], "F4"), bytes(4)),
    ),
    "safetensors with odd metadata": (
        "w.safetensors",
        lambda: safetensors({"__metadata__": {"a": [1]}, **tensor([1], [0, 4])}, bytes(4)),
    ),
    "pickle that runs code": ("w.pdparams", lambda: pickle.dumps({"w": _Evil()}, protocol=4)),
    "pickle of protocol 0": ("w.pdparams", lambda: b"cos\nsystem\n(S'id'\ntR."),
    "pickle that unfolds": ("w.pdparams", memo_bomb),
    "pickle with a lying length": (
        "w.pdparams",
        lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b"x.",
    ),
    "pickle without end": ("w.pdparams", lambda: b"\x80\x04" + b"}" * 1_000_000),
    "pickle that pops nothing": ("w.pdparams", lambda: b"\x80\x04sss."),
    "pickle nested": ("w.pdparams", lambda: b"\x80\x04" + b"]" * 60_000 + b"a" * 59_999 + b"."),
    "pickle of a huge number": (
        "w.pdparams",
        lambda: b"\x80\x04\x8b" + struct.pack("<i", 1_000_000) + b"\x7f" * 1_000_000 + b".",
    ),
    "pickle with marks": ("w.pdparams", lambda: b"\x80\x04" + b"(" * 100_000 + b"t" * 100_000 + b"."),
    "pt that is no zip": ("w.pt", lambda: b"\x80\x02}."),
    "pt without a pickle": ("w.pt", lambda: npz({"a/b": b""}, deflated=False)),
    "pt with an evil pickle": (
        "w.pt",
        lambda: npz({"a/data.pkl": pickle.dumps({"w": _Evil()}, 2)}, deflated=False),
    ),
    "pt that is a program": (
        "w.pt",
        lambda: npz({"a/data.pkl": b"\x80\x02}.", "a/constants.pkl": b"\x80\x02)."}, deflated=False),
    ),
    "npy of objects": ("w.npy", lambda: npy("(1,)", "'|O'", pickle.dumps([_Evil()]))),
    "npy with a header that is code": ("w.npy", lambda: npy("__import__('os').getpid()")),
    "npy with a lying header length": (
        "w.npy",
        lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b"{",
    ),
    "npy of version 9": ("w.npy", lambda: npy("()", version=b"\x09\x00")),
}
"""Each must be refused in one sentence, or read into arrays of numbers no larger than its file allows."""


def text(name: str, content: Callable[[], str | bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        made = content()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made if isinstance(made, bytes) else made.encode("utf-8", "surrogateescape"))

    return write


def many(name: str, count: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for number in range(count):
            (folder / name.format(number)).write_bytes(b"")

    return write


def linked(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


def _deep(folder: Path) -> None:
    for _ in range(60):
        folder /= "d"
        folder.mkdir()


FILES: dict[str, Callable[[Path], None]] = {
    "headings of spaces": text("README.md", lambda: ("#" + " " * 100_000 + "x" + " " * 100_000 + "y\n") * 8),
    "headings of hashes": text("README.md", lambda: "# " + "# " * 400_000 + "x\n"),
    "underlines without end": text("README.md", lambda: "a\n" + "-" * 1_000_000 + "x\n"),
    "fences without end": text("README.md", lambda: "```\n~~~\n" * 200_000),
    "a million lines": text("README.md", lambda: "\n" * 1_900_000),
    "a README that is no text": text("README.md", lambda: bytes(range(256)) * 4000),
    "assignments of a secret": text("a.txt", lambda: "token" * 300_000 + "=\n"),
    "keys without an end": text("a.txt", lambda: ("token-" * 800 + "= " + "A1" * 90 + "\n") * 300),
    "addresses without end": text("a.txt", lambda: "http://" + "a:" * 600_000),
    "keys within keys": text("a.md", lambda: "-----BEGIN " + "A " * 500_000 + "PRIVATE KEY"),
    "requirements in brackets": text("requirements.txt", lambda: "a; " + "(" * 100_000 + "\n"),
    "requirements without end": text("requirements.txt", lambda: "a" * 1_500_000),
    "requirements of one letter": text("requirements.txt", lambda: "a\n" * 500_000),
    "code of brackets": text("b.py", lambda: "(" * 500_000),
    "code of signs": text("b.py", lambda: "x = " + "-" * 500_000 + "1\n"),
    "code nested": text("b.py", lambda: "".join(" " * n + "if 1:\n" for n in range(99)) + " " * 99 + "1\n"),
    "code of one sum": text("b.py", lambda: "x = " + "+".join("1" for _ in range(300_000)) + "\n"),
    "code with NUL": text("b.py", lambda: "x = 1\0\n"),
    "notebook nested": text("n.ipynb", lambda: '{"cells":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "notebook of numbers": text("n.ipynb", lambda: '{"cells": [' + "1," * 500_000 + "1]}"),
    "notebook with a huge number": text("n.ipynb", lambda: '{"cells": ' + "9" * 1_000_000 + "}"),
    "notebook cells that are none": text(
        "n.ipynb", lambda: json.dumps({"cells": [{"cell_type": "code", "source": [None, 1, {}]}]})
    ),
    "log of digits": text("train.log", lambda: "loss: " + "1" * 2_000_000 + "\n"),
    "log of names": text("train.log", lambda: "a" * 2_000_000 + "\n"),
    "log of exponents": text("train.log", lambda: "step: 1 loss: 1e999 ips: 1e-999\n" * 1000),
    "log of signs": text("train.log", lambda: ("loss" + ":" * 9000 + "\n") * 100),
    "log of blanks": text("train.log", lambda: ("loss" + " " * 9000 + "\n") * 300),
    "log of clocks": text("train.log", lambda: "9999-99-99 99:99:99 step: 1 loss: 1\n" * 1000),
    "log of steps beyond numbers": text("train.log", lambda: "step: " + "9" * 400 + " loss: 1\n"),
    "log of nan": text(
        "train.log", lambda: "step: nan loss: nan reader_cost: nan batch_cost: nan ips: inf\n" * 9
    ),
    "TIPC without end": text("test_tipc/configs/m/train_infer_python.txt", lambda: "a:b\n" * 300_000),
    "ignoring everything": text(".gitignore", lambda: "[" * 1000 + "\n" + "*" * 5000 + "a\n" * 20_000),
    "20,001 files": many("f{}.txt", 20_001),
    "folders 60 deep": _deep,
    "a pipe": lambda folder: os.mkfifo(folder / "pipe.txt"),
    "a link to the root": linked("root", "/"),
    "a link to itself": linked("loop.txt", "loop.txt"),
    "a link to a device": linked("zero.txt", "/dev/zero"),
    "a name with a colour": text("a\x1b[31m.txt", lambda: ""),
    "a name that runs backwards": text("a\u202etxt.exe", lambda: ""),
    "a name that is no UTF-8": lambda folder: os.close(
        os.open(os.fsencode(str(folder)) + b"/a\xff.txt", os.O_CREAT | os.O_WRONLY)
    ),
    "a name with a line feed": text("a\nfail  everything.txt", lambda: ""),
    "a README that is a link": lambda folder: (
        (folder / "README.md").unlink(),
        (folder / "README.md").symlink_to("/etc/passwd"),
    )[0],
    "a git folder that is a file": text(".git", lambda: "gitdir: /etc\n"),
}
"""Each must be refused in one sentence, or checked to its end."""
