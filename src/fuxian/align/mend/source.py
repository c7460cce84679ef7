"""One file's text, its syntax tree, and changes of single expressions that leave everything else as it is."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

LARGEST = 2**20
"""Bytes beyond which a file is not read as somebody's source."""


@dataclass(frozen=True)
class Edit:
    """Text in place of the characters ``start`` to ``end`` of a file."""

    file: Path
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Site:
    """An expression that ran: its file, and where it begins and ends (lines from 1, columns in bytes from 0)."""

    file: Path
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Source:
    """A Python file. Raises SyntaxError, OSError or ValueError where it cannot be read."""

    file: Path
    text: str

    @staticmethod
    def read(file: Path) -> Source:
        if file.suffix != ".py" or file.stat().st_size > LARGEST:
            raise ValueError(f"{file} is not read as Python")
        return Source(file, file.read_bytes().decode("utf-8"))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return starts

    def place(self, line: int, column: int) -> int:
        """The character at a line and a column counted in bytes."""
        start, end = self._starts[line - 1], self._starts[min(line, len(self._starts) - 1)]
        return start + len(self.text[start:end].encode()[:column].decode())

    def span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: S101
        return self.place(node.lineno, node.col_offset), self.place(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def replaced(self, node: ast.expr, text: str) -> Edit:
        return Edit(self.file, *self.span(node), text)

    def call_at(self, site: Site) -> ast.Call | None:
        wanted = (site.line, site.column, site.end_line, site.end_column)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and wanted == (
                node.lineno, node.col_offset, node.end_lineno, node.end_col_offset,
            ):  # fmt: skip
                return node
        return None

    def calls_on(self, line: int, name: str) -> list[ast.Call]:
        """The calls on a line of what goes by a name (its last part), the innermost statement's alone."""
        return [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
            and node.lineno <= line <= (node.end_lineno or 0)
            and called(node) == name
        ]

    def spelled(self, name: str) -> str:
        """A dotted name as this file's imports say it: ``F.relu`` for ``paddle.nn.functional.relu``."""
        known: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    known |= {alias.name: alias.asname} if alias.asname else {first: first}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                known |= {f"{node.module}.{alias.name}": alias.asname or alias.name for alias in node.names}
        for prefix in sorted(known, key=len, reverse=True):
            if name == prefix or name.startswith(f"{prefix}."):
                return known[prefix] + name[len(prefix) :]
        return name

    def functions_around(self, node: ast.AST) -> list[ast.FunctionDef]:
        """The functions that a node lies in, the innermost first."""
        around = [
            f
            for f in ast.walk(self.tree)
            if isinstance(f, ast.FunctionDef) and any(inner is node for inner in ast.walk(f))
        ]
        return sorted(around, key=lambda f: -f.lineno)


def called(node: ast.Call) -> str:
    """The last part of the name that is called."""
    function = node.func
    return (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )


def given(call: ast.Call, name: str, index: int | None) -> ast.expr | None:
    """What a call gives for a parameter, by its name or its place; None where it gives nothing."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if index is not None and index < len(call.args) and not any(
        isinstance(a, ast.Starred) for a in call.args[: index + 1]
    ):  # fmt: skip
        return call.args[index]
    return None


def spread(call: ast.Call) -> ast.expr | None:
    """What a call spreads with ``**``, the last of them."""
    found = [keyword.value for keyword in call.keywords if keyword.arg is None]
    return found[-1] if found else None


def with_argument(source: Source, call: ast.Call, name: str, index: int | None, value: str) -> list[Edit]:
    """Gives a call another value for a parameter, where it has one, or one more keyword."""
    held = given(call, name, index)
    if held is not None:
        return [source.replaced(held, value)]
    held = spread(call)
    if isinstance(held, ast.Dict) and held.values:
        last = [k.value if isinstance(k, ast.Constant) else None for k in held.keys]
        if name in last and None not in last[last.index(name) :]:
            return [source.replaced(held.values[last.index(name)], value)]
        end = source.span(held.values[-1])[1]
        return [Edit(source.file, end, end, f', "{name}": {value}')]
    if held is not None:
        return [source.replaced(held, f'{{**{source.of(held)}, "{name}": {value}}}')]
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    if arguments:
        end = max(source.span(argument)[1] for argument in arguments)
        return [Edit(source.file, end, end, f", {name}={value}")]
    end = source.span(call)[1] - 1
    return [Edit(source.file, end, end, f"{name}={value}")]


def without_argument(source: Source, call: ast.Call, name: str) -> list[Edit]:
    """Takes a keyword off a call; nothing where it has none."""
    for keyword in call.keywords:
        if keyword.arg == name:
            start, end = source.span(keyword)
            text = source.text
            after = end
            while after < len(text) and text[after] in " \t\r\n":
                after += 1
            if text[after] == ",":
                after += 1
                while after < len(text) and text[after] in " \t":
                    after += 1
                return [Edit(source.file, start, after if text[after] not in "\r\n" else end + 1, "")]
            before = start
            while before > 0 and text[before - 1] in " \t\r\n":
                before -= 1
            return [Edit(source.file, before - (text[before - 1] == ","), end, "")]
    return []


def default_of(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """The default of a function's parameter; None where it has none."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    for argument, default in zip(
        plain[len(plain) - len(arguments.defaults) :], arguments.defaults, strict=True
    ):
        if argument.arg == name:
            return default
    for argument, given_default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if argument.arg == name:
            return given_default
    return None


def parameter_index(function: ast.FunctionDef, name: str, method: bool) -> int | None:
    """The place of a function's parameter among a call's positional arguments; None where it has none."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)][1 if method else 0 :]
    return names.index(name) if name in names else None


def has_parameter(function: ast.FunctionDef, name: str) -> bool:
    arguments = function.args
    return any(a.arg == name for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


def together(source: Source, edits: list[Edit]) -> list[Edit] | None:
    """Edits as one change: what is put into the same dict is joined; None where two change the same characters."""
    made: list[Edit] = []
    for edit in edits:
        same = next((e for e in made if (e.file, e.start, e.end) == (edit.file, edit.start, edit.end)), None)
        if edit == same:
            continue
        if same is None or edit.start == edit.end:
            made.append(edit)
        elif edit.text.startswith("{**"):
            held = source.text[edit.start : edit.end]
            made[made.index(same)] = Edit(
                edit.file, edit.start, edit.end, same.text[:-1] + edit.text[3 + len(held) :]
            )
        else:
            return None
    spans = sorted((e.file, e.start, e.end) for e in made)
    apart = all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(spans))
    return made if apart else None


class Code(str):
    """A value that is an expression of Python's, and not text."""


def text_of(source: Source, value: object) -> str:
    """A value as the file would write it, in the quotes that it uses most."""
    if isinstance(value, Code):
        return str(value)
    text = repr(value)
    if isinstance(value, str) and "'" not in value and '"' not in value:
        return f'"{value}"' if source.text.count('"') >= source.text.count("'") else f"'{value}'"
    return text


def applied(texts: dict[Path, str], edits: list[Edit]) -> dict[Path, str]:
    """The files' texts after the edits, the last of each file first."""
    made = dict(texts)
    for edit in sorted(edits, key=lambda e: -e.start):
        text = made[edit.file]
        made[edit.file] = text[: edit.start] + edit.text + text[edit.end :]
    return made
