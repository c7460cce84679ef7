"""Near-duplicate code: MinHash signatures (Broder 1997) of a submission's own Python files."""

from __future__ import annotations

import io
import keyword
import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasketch import MinHash

from fuxian.errors import Malformed
from fuxian.untrusted import parsed

PERMUTATIONS = 64
SHINGLE = 8
"""Tokens. Names are blanked: renaming everything leaves the shape of the code."""
FEWEST = 20
MOST_FILES, MOST_BYTES = 500, 500_000
SECONDS = 60.0


@dataclass(frozen=True)
class Sketch:
    """A signature of 64 values."""

    values: tuple[int, ...]

    def as_hex(self) -> str:
        return "".join(f"{value:016x}" for value in self.values)

    @classmethod
    def from_hex(cls, text: str) -> Sketch:
        return cls(tuple(int(text[at : at + 16], 16) for at in range(0, len(text), 16)))

    def likeness(self, other: Sketch) -> float:
        """An estimate of the share of shingles that both have, 0 to 1."""
        return float(np.mean(np.array(self.values) == np.array(other.values)))


def sketch(folder: Path) -> Sketch | None:
    """Of every Python file below. None where there is too little to tell, or the code cannot be read in time."""
    try:
        values = parsed(_signature, folder, what="the submission's code", seconds=SECONDS)
    except Malformed:
        return None
    return None if values is None else Sketch(tuple(values))


def _signature(folder: Path) -> list[int] | None:
    minhash = MinHash(num_perm=PERMUTATIONS, seed=1)
    shingles: set[bytes] = set()
    for file in sorted(folder.rglob("*.py"))[:MOST_FILES]:
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= MOST_BYTES:
            words = _words(file.read_bytes())
            shingles |= {
                " ".join(words[at : at + SHINGLE]).encode() for at in range(len(words) - SHINGLE + 1)
            }
    if len(shingles) < FEWEST:
        return None
    minhash.update_batch(sorted(shingles))
    return [int(value) for value in minhash.hashvalues]


def _words(source: bytes) -> list[str]:
    words = []
    try:
        for token in tokenize.tokenize(io.BytesIO(source).readline):
            if token.type == tokenize.NAME:
                words.append(token.string if keyword.iskeyword(token.string) else "name")
            elif token.type in (tokenize.OP, tokenize.NUMBER):
                words.append(token.string)
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        pass
    return words
