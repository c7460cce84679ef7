"""A submission tried without being made: everything that would refuse it says so, and nothing is kept."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

from fuxian import deadline
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service import submissions
from fuxian.contest.service.context import Actor, Context
from fuxian.errors import InputError, PlatformError, Stopped
from fuxian.submission.checklist import check
from fuxian.submission.checklist.translate import translated, unreadable
from fuxian.verify.reasons import Failed
from fuxian.verify.source import pin

SECONDS = 90.0
"""For fetching the commit and reading its files."""
_one_at_a_time = threading.Lock()


def rehearse(
    at: Context,
    actor: Actor | None,
    paper: str,
    *,
    commit: str,
    repo: str | None = None,
    bundle: Path | None = None,
) -> list[dict[str, Any]]:
    """The lines of a dry run, each with its ``state`` (as of the checklist) and a sentence in both languages.

    First whether the contest would take the submission now; then the acceptance checklist of its files. The entrant's
    bytes are read in child processes, within limits of time and memory.
    """
    try:
        submissions.try_to_submit(at, actor, paper, repo=repo, commit=commit, bundle=bundle)
    except Refused as error:
        return [_line("fail", f"现在提交不会被接收：{error.zh}", f"It would not be taken now: {error.en}")]
    taken = _line("pass", "现在提交会被接收。", "It would be taken now.")
    if not _one_at_a_time.acquire(blocking=False):
        busy = (
            "正在检查另一份提交，请稍后再试。",
            "Another submission is being checked; try again in a minute.",
        )
        return [taken, _line("not_applicable", *busy)]
    try:
        return [taken, *_files(f"{bundle or repo}@{commit}")]
    finally:
        _one_at_a_time.release()


def _files(submission: str) -> list[dict[str, Any]]:
    """The acceptance checklist of what is at the commit."""
    try:
        with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place, deadline.within(SECONDS):
            found = check(pin(submission, Path(place)).folder)
    except Failed as error:
        return [_line("fail", f"文件无法使用：{error.sentence}", error.sentence)]
    except InputError as error:
        said = str(error).rpartition("/work/")[2]
        return [_line("fail", f"文件无法使用：{unreadable(said, 'zh')}", said)]
    except (PlatformError, Stopped) as error:
        said = str(error)
        return [_line("not_applicable", f"未能检查文件：{said}", f"Its files were not checked: {said}")]
    lines = []
    for one in found:
        place = "" if one.file is None else f"{one.file}{'' if one.line is None else f':{one.line}'}"
        zh = translated(one, "zh")
        lines.append(
            _line(
                one.status,
                f"{zh.title}：{zh.what}"
                + (f"（{place}）" if place else "")
                + (f"。{zh.mend}" if zh.mend else ""),
                f"{one.title}: {one.what}"
                + (f" ({place})" if place else "")
                + (f"; {one.mend}" if one.mend else ""),
            )
        )
    return lines


def _line(state: str, zh: str, en: str) -> dict[str, Any]:
    return {"state": state, "zh": zh, "en": en}
