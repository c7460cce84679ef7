"""The checklist's lines in Chinese: each sentence of ``terms_zh.toml`` with the names and numbers that stand in it.

An entrant's own words stay as they are, and so does what a reader of files says of a file it cannot read.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import re2

from fuxian.submission.checklist.finding import Finding

WAIVED = "; waived: "
_MORE = re2.compile(r"(?s)(.*) and (\d+) more")
_PLACE = re2.compile(r"(?s)(.+?), line (\d+): (?:claim (.+?), )?field (.+?): (.+)\.")
_CELL = re2.compile(r"(?s)cell (\d+), line (\d+|None): (.*)")


def translated(finding: Finding, lang: str) -> Finding:
    """The finding with its title, what was found, and what to do in a language: "en" or "zh"."""
    if lang == "en":
        return finding
    title = _terms()["lines"].get(finding.title, finding.title)
    what, waived, reason = finding.what.partition(WAIVED)
    said = sentence(what, lang) + (f"；豁免理由：{reason}" if waived else "")
    return replace(finding, title=title, what=said, mend=sentence(finding.mend, lang))


def sentence(text: str, lang: str) -> str:
    """One sentence of the checklist in a language; as it is where the table has none."""
    if lang == "en":
        return text
    if cell := _CELL.fullmatch(text):
        number, line, said = cell.groups()
        return f"第 {number} 个单元格第 {line} 行：{sentence(said, lang)}"
    values = _values(text, "sentences")
    return text if values is None else values[0].format(*map(_value, values[1]))


def unreadable(text: str, lang: str) -> str:
    """Why a manifest or a paper.toml cannot be read, in a language; as it is where the table has no such sentence."""
    if lang == "en":
        return text
    if place := _PLACE.fullmatch(text):
        file, line, claim, field, what = place.groups()
        where = f"指标 {claim}，字段 {field}" if claim else f"字段 {field}"
        return f"{file} 第 {line} 行：{where}：{unreadable(what, lang)}。"
    values = _values(text, "reading")
    return text if values is None else values[0].format(*(unreadable(part, lang) for part in values[1]))


def _value(text: str) -> str:
    """A part of a sentence: a count, or a list of names."""
    if found := _values(text, "values"):
        return found[0].format(*found[1])
    if more := _MORE.fullmatch(text):
        return f"{_value(more.group(1))} 等，另有 {more.group(2)} 项"
    parts = text.split(", ")
    return "、".join(map(_value, parts)) if len(parts) > 1 else text


def _values(text: str, table: str) -> tuple[str, tuple[str, ...]] | None:
    """The translation of the template that a text follows, and what stands in its places."""
    for pattern, chinese in _patterns(table):
        if found := pattern.fullmatch(text):
            return chinese, found.groups()
    return None


@cache
def _patterns(table: str) -> list[tuple[Any, str]]:
    # The template with most words of its own comes first: "{}, {} MB" fits more than it is meant for.
    templates = sorted(_terms()[table].items(), key=lambda item: -len(item[0].replace("{}", "")))
    # RE2: what stands in a place is the entrant's.
    return [
        (re2.compile("(?s)" + "(.+)".join(map(re2.escape, english.split("{}")))), chinese)
        for english, chinese in templates
    ]


@cache
def _terms() -> dict[str, dict[str, str]]:
    text = files("fuxian.submission.checklist").joinpath("terms_zh.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
