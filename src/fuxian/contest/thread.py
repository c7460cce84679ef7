"""Reads replies of the old thread, with the faults they have in real life. Parsing only: nothing is changed here.

A reply is five lines, ``【队名】：``, ``【序号】：``, ``【论文】：``, ``【状态】：``, ``【repo链接】：``. People leave
out colons, put blank lines between, swap number and title, write 报名&&提交, and paste several replies into one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fuxian.contest.rules.papers import names_paper
from fuxian.contest.settings import Contest, Paper
from fuxian.errors import InputError
from fuxian.toml_files import read_text

LONGEST_COMMENT = 20_000
FIELDS = {"队名": "team", "队伍": "team", "序号": "number", "论文": "title", "状态": "state"}
_LINK = re.compile(r"https://[A-Za-z0-9.-]{1,100}/[A-Za-z0-9._~-]{1,100}/[A-Za-z0-9._~-]{1,100}")
_HEADING = re.compile(r"(?P<author>\S{1,60}) · comment · (?P<at>\d{4}-\d\d-\d\d(?:T[\d:]{5,8}Z?)?)\s*")


@dataclass(frozen=True)
class Comment:
    """One comment of the thread."""

    author: str
    at: datetime | None
    """None where the text says no time."""
    body: str
    source: str
    """Where it stands, for reports."""

    @property
    def key(self) -> str:
        """The same for the same words of the same person."""
        text = f"{self.author}\0{' '.join(self.body.split())}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Reply:
    """What a comment asks for."""

    team: str
    paper: Paper
    repo: str
    tries: int
    """0: registration alone; n: the n-th submission."""


@dataclass(frozen=True)
class Unusable:
    """Why a reply cannot be used, in both languages."""

    en: str
    zh: str


def read_comments(file: Path) -> list[Comment]:
    """The comments of an exported JSON file (a list as GitHub's API gives it) or of pasted text.

    Raises InputError for what is neither.
    """
    text = read_text(file, "an export of the thread")
    if text.lstrip()[:1] in ("[", "{"):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{file}: this is not JSON ({str(error)[:100]}); export the comments anew."
            ) from error
        rows = data.get("comments") if isinstance(data, dict) else data
        if not isinstance(rows, list):
            raise InputError(f"{file}: give a list of comments, each with user, created_at and body.")
        return [_from_json(row, f"{file.name}, comment {number}") for number, row in enumerate(rows, 1)]
    return list(_from_text(text, file.name))


def _from_json(row: Any, source: str) -> Comment:
    user = row.get("user") or row.get("author") if isinstance(row, dict) else None
    login = user.get("login") if isinstance(user, dict) else user
    body = row.get("body") if isinstance(row, dict) else None
    if not isinstance(login, str) or not isinstance(body, str):
        raise InputError(f"{source}: there is no user or no body; export the comments anew.")
    said = row.get("created_at") or row.get("createdAt")
    return Comment(login[:60], None if said is None else _moment(str(said), source), body, source)


def _from_text(text: str, name: str) -> Iterator[Comment]:
    author, at, start = "unknown", None, 1
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), None], 1):
        heading = None if line is None else _HEADING.fullmatch(line)
        if line is None or heading:
            body = "\n".join(lines)
            if "【" in body:
                yield Comment(author, at, body, f"{name}, line {start}")
            if heading:
                author, at = heading["author"], _moment(heading["at"], f"{name}, line {number}")
                lines, start = [], number + 1
        else:
            lines.append(line)


def _moment(text: str, source: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"{source}: {text[:40]!r} is no time; give it as 2021-09-01T08:00:00Z.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def replies(contest: Contest, comment: Comment) -> list[Reply | Unusable]:
    """What a comment asks for; several replies may stand in one. Empty where it is no reply at all."""
    if len(comment.body) > LONGEST_COMMENT:
        return [Unusable("it is longer than any reply", "内容过长")]
    groups: list[dict[str, str]] = []
    for part in comment.body.split("【")[1:]:
        name, closed, value = part.partition("】")
        field = _field(name)
        if not closed or field is None:
            continue
        if field == "team" or not groups:
            groups.append({})
        groups[-1].setdefault(field, " ".join(value.strip().lstrip(":：").split()))
    return [_reply(contest, group) for group in groups]


def _field(name: str) -> str | None:
    plain = "".join(name.split()).lower()
    return "repo" if "链接" in plain or plain == "repo" else FIELDS.get(plain)


def _reply(contest: Contest, fields: dict[str, str]) -> Reply | Unusable:
    team = fields.get("team", "")
    if not team:
        return Unusable("it names no team", "没有队名")
    paper = _paper(contest, fields)
    if paper is None:
        said = fields.get("number") or fields.get("title") or ""
        return Unusable(f"the contest has no paper {said[:60]!r}", f"没有序号或题目为“{said[:60]}”的论文")
    state = "".join(fields.get("state", "").split())
    if "报名" not in state and "提交" not in state:
        return Unusable(
            f"its state is {state[:40]!r} and not 报名 or 提交", f"状态“{state[:40]}”不是报名或提交"
        )
    link = _LINK.search(fields.get("repo", "")) or _LINK.search(" ".join(fields.values()))
    if link is None:
        return Unusable(
            "it names no repository (https://HOST/OWNER/NAME)", "没有仓库链接（https://主机/用户/仓库）"
        )
    return Reply(team, paper, link[0].removesuffix(".git"), _tries(state))


def _paper(contest: Contest, fields: dict[str, str]) -> Paper | None:
    words = [fields.get("number", ""), fields.get("title", "")]
    for word in words:
        # Number and title are swapped now and then.
        digits = word.lstrip("#№No. ").rstrip(". ")
        if digits.isascii() and digits.isdigit() and len(digits) < 6:
            return next((paper for paper in contest.paper if paper.number == int(digits)), None)
    text = " ".join(words)
    return next((paper for paper in contest.paper if paper.public and names_paper(text, paper)), None)


def _tries(state: str) -> int:
    """``报名`` 0, ``报名&提交`` 1, ``报名&提交1失败&提交2`` 2."""
    return state.count("提交")
