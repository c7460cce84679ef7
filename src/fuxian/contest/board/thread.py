"""The old thread's table: 序号 | 论文名称 | 难度 | 队伍名称(状态)(repo) | 相关ISSUE | 获胜队伍&repo."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select

from fuxian.contest.service.context import Context
from fuxian.contest.settings import Paper
from fuxian.contest.store.models import Registration, Submission, Team, Winner

HEAD = """\
| 序号 | 论文名称 | 难度 | 队伍名称(状态)(repo) | 相关ISSUE | 获胜队伍&repo |
| --- | --- | --- | --- | --- | --- |"""
FAILED = ("rejected", "disqualified", "withdrawn")


def table(at: Context) -> str:
    """The table as it is kept in the thread's first comment."""
    with at.database.read() as session:
        teams: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
        for registration, name in session.execute(
            select(Registration, Team.name)
            .join(Team, Team.id == Registration.team_id)
            .order_by(Registration.created_at, Registration.id)
        ):
            teams[registration.paper].append((registration.team_id, name, registration.repo))
        tries: dict[tuple[str, int], list[str]] = defaultdict(list)
        for paper, team, status in session.execute(
            select(Submission.paper, Submission.team_id, Submission.status)
            .where(Submission.number.is_not(None))
            .order_by(Submission.number)
        ):
            tries[paper, team].append(status)
        winners = {
            paper: (name, repo)
            for paper, name, repo in session.execute(
                select(Winner.paper, Team.name, Submission.repo)
                .join(Submission, Submission.id == Winner.submission_id)
                .join(Team, Team.id == Submission.team_id)
            )
        }
    rows = [
        _row(
            paper,
            [(name, state(tries[paper.id, team]), repo) for team, name, repo in teams[paper.id]],
            winners.get(paper.id),
        )
        for paper in at.contest.paper
    ]
    return "\n".join([HEAD, *rows]) + "\n"


def state(tries: list[str]) -> str:
    """``报名``, ``报名&提交``, ``报名&提交1失败&提交2``, from the statuses of a team's submissions on a paper."""
    if len(tries) == 1 and tries[0] not in FAILED:
        return "报名&提交"
    return "&".join(
        ["报名", *(f"提交{n}{'失败' if one in FAILED else ''}" for n, one in enumerate(tries, 1))]
    )


def _row(paper: Paper, teams: list[tuple[str, str, str]], winner: tuple[str, str] | None) -> str:
    title = f"[{_cell(paper.title)}]({paper.url})" if paper.url else _cell(paper.title)
    number = str(paper.number)
    if winner is not None:
        title, number = f"~~{title}~~", f"~~{number}~~"
    cells = []
    for name, what, repo in teams:
        shown = what if what == "报名" else f"**{what}**"
        link = f"([{_cell(repo.rstrip('/').rpartition('/')[2])}]({repo}))" if repo else ""
        cells.append(f"{_cell(name)}({shown}){link}")
    issue = paper.issue or " "
    won = _cell(winner[0]) if winner else " "
    return f"| {number} | {title} | {'⭐️' * paper.stars} | {'</br>'.join(cells) or ' '} | {issue} | {won} |"


def _cell(text: str) -> str:
    """Text that stays in its cell, and stays text."""
    for character in "\\|[]<>*~`":
        text = text.replace(character, f"\\{character}")
    return text
