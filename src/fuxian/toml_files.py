"""Reads a TOML file that a person wrote, so that an error names its line and its field."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import re2

from fuxian.errors import InputError
from fuxian.printable import printable

LARGEST = 1_000_000
"""Bytes. A file above this is refused unread."""
LONGEST_FIELD = 200
MOST_PARTS = 64
"""Of a dotted key; reading one takes time that grows with their square."""
_ENDLESS_KEY = re2.compile(rf"(?m)^[ \t\[]*[\w-]+(?:[ \t]*\.[ \t]*[\w-]+){{{MOST_PARTS},}}")


@dataclass(frozen=True)
class TomlFile:
    """A parsed file and where its keys stand."""

    path: Path
    data: dict[str, Any]
    lines: dict[tuple, int]
    """Line by place, as in ``("claim", 0, "published", "value") -> 12``."""

    def error(self, place: tuple, what: str) -> InputError:
        """One sentence about the field at ``place``; ``what`` is its end: what is wrong, and what to do."""
        ends = range(len(place), 0, -1)
        line = next((self.lines[place[:end]] for end in ends if place[:end] in self.lines), 1)
        fields = [str(part) for part in place]
        where = ""
        if place[0] == "claim" and len(place) > 1:
            table = self.data["claim"][place[1]]
            name = table.get("id") if isinstance(table, dict) else None
            name = repr(name[:60]) if isinstance(name, str) else place[1] + 1
            where, fields = f"claim {name}, ", fields[2:] or ["claim"]
        field = ".".join(fields)[:LONGEST_FIELD]
        return InputError(f"{self.path}, line {line}: {where}field {field!r}: {printable(what)}.")


def load_toml(path: Path, what: str) -> TomlFile:
    """Reads and parses a file. Raises InputError as ``read_text`` does, and with the line that is no TOML."""
    text = read_text(path, what)
    if _ENDLESS_KEY.search(text):
        raise InputError(f"{path}: a key has more than {MOST_PARTS} parts; nest less deeply.")
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of a number without end tomllib raises a bare ValueError
        found = re.search(r"\s*\(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = found.group(1) if found and found.group(1) else str(max(text.count("\n"), 1))
        said = str(error)[: found.start()][:100] if found else _without_place(error)
        raise InputError(
            f"{path}, line {line}: this is not TOML ({printable(said)}); mend the line."
        ) from error
    return TomlFile(path, data, _line_numbers(text))


def _without_place(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


def read_text(file: Path, what: str) -> str:
    """The text of a small file. ``what`` names it in an error, as in "a paper.toml".

    Raises InputError where it cannot be read, is larger than ``LARGEST``, or is not UTF-8.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"{file}: {what} has at most {LARGEST} bytes and this one has more; shorten it.")
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise InputError(f"{file}: this is not UTF-8 text; save it as UTF-8.") from error
        raise InputError(f"{file}: {what} cannot be read there; check the path.") from error


def in_words(error: Any) -> str:
    """One of Pydantic's errors as half a sentence."""
    if error["type"] == "missing":
        return "is missing; add it"
    if error["type"] == "extra_forbidden":
        return "is not a known field; check its spelling or remove it"
    if error["type"] == "model_type":
        return "should be a table; mend it"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    message = error["msg"]
    return f"{message[0].lower()}{message[1:]} (found {_beginning(error['input'])!r})"


def _beginning(value: Any) -> str:
    try:
        return str(value)[:60]
    except (ValueError, RecursionError):  # of a number, or a nesting, without end
        return f"a {type(value).__name__} that is too long to be shown"


_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*\]\]?\s*(?:#.*)?$", re.ASCII)
_KEY = re.compile(r"^\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*=", re.ASCII)
_INLINE_KEY = re.compile(r"[{,]\s*([\w-]+)\s*=", re.ASCII)


def _line_numbers(text: str) -> dict[tuple, int]:
    """Where each key of a valid TOML text stands: ``("claim", 0, "published", "value") -> 12``.

    tomllib does not say. Exact for bare keys that begin a line; a key it misses is found by its table's line.
    """
    found: dict[tuple, int] = {}
    counts: dict[tuple, int] = {}
    table: tuple = ()
    key: tuple = ()
    open_string = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if open_string:
            if open_string in line:
                open_string = ""
            continue
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2:
                open_string = quotes
        if header := _HEADER.match(line):
            names = tuple(re.split(r"\s*\.\s*", header.group(2)))
            table = ()
            for depth, name in enumerate(names, start=1):
                table = (*table, name)
                if header.group(1) == "[[" and depth == len(names):
                    counts[table] = counts.get(table, -1) + 1
                    found.setdefault(table, number)
                if table in counts:
                    table = (*table, counts[table])
            found[table] = number
        elif match := _KEY.match(line):
            key = (*table, *re.split(r"\s*\.\s*", match.group(1)))
            found.setdefault(key, number)
            for inline in _INLINE_KEY.finditer(line, match.end()):
                found.setdefault((*key, inline.group(1)), number)
    return found
