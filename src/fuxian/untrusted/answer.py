"""What the child may answer: a JSON document, and arrays of numbers beside it. No pickles come back.

A frame is its length in 8 bytes and then so many bytes. An answer is one frame of JSON, ``{"document": ...,
"arrays": [[name, dtype, shape], ...]}`` or ``{"error": [kind, sentence]}``, and a frame for each array.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_LENGTH = struct.Struct("<Q")
_CHUNK = 1 << 20
MOST_ARRAYS = 1_000_000
NUMERIC_KINDS = frozenset("biufc")


@dataclass
class Arrays:
    """An answer with arrays beside its document."""

    arrays: dict[str, np.ndarray]
    document: Any = field(default=None)


class Ended(Exception):
    """The other side has closed the connection."""


def send(connection: socket.socket, content: bytes | memoryview) -> None:
    """Sends one frame."""
    connection.sendall(_LENGTH.pack(len(content)))
    connection.sendall(content)


def receive(connection: socket.socket, most: int) -> bytearray:
    """One frame. Raises Ended at the end, ValueError where it has more than ``most`` bytes."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > most:
        raise ValueError(f"{length} bytes, more than {most}")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytearray:
    content = bytearray(length)
    view = memoryview(content)
    got = 0
    while got < length:
        count = connection.recv_into(view[got : got + _CHUNK])
        if count == 0:
            raise Ended
        got += count
    return content


def send_answer(connection: socket.socket, answer: Any) -> None:
    """Sends what a function returned. Raises ValueError or TypeError for what is neither JSON nor numbers."""
    arrays = answer.arrays if isinstance(answer, Arrays) else {}
    document = answer.document if isinstance(answer, Arrays) else answer
    about: list[Any] | None = [] if isinstance(answer, Arrays) else None
    contents: list[memoryview] = []
    for name, array in arrays.items():
        if array.dtype.kind not in NUMERIC_KINDS:
            raise TypeError(f"{array.dtype} is no number")
        assert about is not None  # noqa: S101 - there are arrays
        about.append([name, array.dtype.str, list(array.shape)])
        contents.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    # Nothing is sent before all of it is known to be fit: half an answer could not be told from the next.
    send(connection, json.dumps({"document": document, "arrays": about}).encode())
    for content in contents:
        send(connection, content)


def receive_answer(connection: socket.socket, most: int, most_bytes: int) -> Any:
    """What ``send_answer`` sent, or the tuple ``("error", kind, sentence)``.

    The child has read hostile bytes: sizes and types are checked here again. Raises Ended, and ValueError for an
    answer that is none.
    """
    head = json.loads(bytes(receive(connection, most)))
    if "error" in head:
        kind, sentence = head["error"]
        return ("error", str(kind), str(sentence))
    arrays: dict[str, np.ndarray] = {}
    if head["arrays"] is None:
        return head["document"]
    if len(head["arrays"]) > MOST_ARRAYS:
        raise ValueError("too many arrays")
    for name, code, shape in head["arrays"]:
        dtype = np.dtype(str(code))
        if dtype.kind not in NUMERIC_KINDS or any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("no array of numbers")
        content = receive(connection, most_bytes)
        most_bytes -= len(content)
        arrays[str(name)] = np.frombuffer(content, dtype).reshape(shape)
    return Arrays(arrays, head["document"])


def send_error(connection: socket.socket, kind: str, sentence: str) -> None:
    send(connection, json.dumps({"error": [kind, sentence]}).encode())
