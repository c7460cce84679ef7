"""Registration for a paper, and the reference run that opens help and compute grants."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from fuxian.contest.rules.refused import Refused
from fuxian.contest.rules.windows import Window, require_open
from fuxian.contest.settings import Contest, Milestone, Paper

_REPOSITORY = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*/[A-Za-z0-9._~-]+/[A-Za-z0-9._~/-]+")


def require_registration(
    contest: Contest, now: datetime, paper: Paper, repo: str, readme: str | None, *, won: bool
) -> None:
    """Whether a team may register for the paper with this repository. Raises Refused.

    ``readme`` is the text of the repository's README; None where the contest does not ask for one.
    """
    require_open(contest, Window.registration, now)
    if not paper.public:
        raise Refused(
            "not_public", en="this paper is not public; choose another.", zh="该论文未公开，请选择其他论文。"
        )
    if won:
        raise Refused(
            "paper_won",
            en="a team has reached this paper's accuracy already; choose another paper.",
            zh="该论文已有队伍达到精度，请选择其他论文。",
        )
    if repo or contest.sources.readme:
        require_repository(repo)
    if contest.sources.readme and not names_paper(readme or "", paper):
        raise Refused(
            "readme",
            en=f"the repository's README does not name the paper; write that it reproduces {paper.title!r}"
            " with Paddle.",
            zh=f"仓库的 README 未写明论文，请写明用飞桨复现“{paper.title}”。",
        )


def require_repository(repo: str) -> None:
    """Raises Refused for what is no repository's address."""
    if not _REPOSITORY.fullmatch(repo):
        raise Refused(
            "repository",
            en="this is no repository's address; give https://HOST/OWNER/NAME.",
            zh="这不是仓库地址，请给出 https://主机/用户/仓库。",
        )


def names_paper(readme: str, paper: Paper) -> bool:
    """Whether a text holds the paper's title or one of its names, whatever the case, spaces and punctuation."""
    text = f" {_plain(readme)} "
    return any(f" {_plain(name)} " in text for name in (paper.title, *paper.names) if _plain(name))


def _plain(text: str) -> str:
    kept = "".join(c if c.isalnum() else " " for c in unicodedata.normalize("NFKC", text).casefold())
    return " ".join(kept.split())


@dataclass(frozen=True)
class ReferenceRun:
    """What a team says the reference gave: the figure and, where it handed them in, one figure a test example."""

    figure: float
    examples: tuple[float, ...] | None = None


def reference_run_holds(run: ReferenceRun, milestone: Milestone | None) -> tuple[bool, str, str]:
    """Whether the reference's predictions give what the reference should; with a sentence in English and in Chinese."""
    value = run.figure
    if run.examples:
        mean = sum(run.examples) / len(run.examples)
        if abs(mean - value) > 1e-6 * max(1.0, abs(mean)):
            return (
                False,
                f"the predictions give {mean:.6g} and the report says {value:.6g}; report what they give.",
                f"预测结果得 {mean:.6g}，报告写 {value:.6g}，请按预测结果报告。",
            )
    if milestone is None:
        return True, "taken on record; a person looks at it.", "已记录，由工作人员查看。"
    away = abs(value - milestone.value)
    if away <= milestone.tolerance:
        return (
            True,
            f"{milestone.metric} {value:.6g}: within {milestone.tolerance:g} of {milestone.value:g}.",
            f"{milestone.metric} {value:.6g}：与 {milestone.value:g} 相差不超过 {milestone.tolerance:g}。",
        )
    return (
        False,
        f"{milestone.metric} {value:.6g} is {away:.3g} away from {milestone.value:g}, more than"
        f" {milestone.tolerance:g}; look at how the reference was run.",
        f"{milestone.metric} {value:.6g} 与 {milestone.value:g} 相差 {away:.3g}，超过 {milestone.tolerance:g}，"
        "请检查参考代码的运行方式。",
    )
