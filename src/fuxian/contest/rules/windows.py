"""When what is allowed. Opening moments are included, closing ones are not."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import Contest


class Window(StrEnum):
    """A span of time in which some actions are allowed."""

    registration = "registration"
    """Teams are founded and joined, papers are registered for."""
    teams = "teams"
    """Hand-over, leaving, removing, dissolving, merging."""
    submission = "submission"
    """Reference runs and submissions."""
    final = "final"
    """Deliverables, defence and scores."""


NAMES = {
    Window.registration: ("registration", "报名"),
    Window.teams: ("changing teams", "队伍变更"),
    Window.submission: ("submission", "提交"),
    Window.final: ("the final", "总决赛"),
}


def span(contest: Contest, window: Window) -> tuple[datetime, datetime | None]:
    """When it opens and when it closes; None: it stays open."""
    at = contest.schedule
    if window is Window.registration:
        return at.opens, at.registration_closes
    if window is Window.teams:
        return at.opens, at.teams_freeze
    if window is Window.submission:
        return at.opens, at.submission_closes
    return at.submission_closes, None


def is_open(contest: Contest, window: Window, now: datetime) -> bool:
    opens, closes = span(contest, window)
    return opens <= now and (closes is None or now < closes)


def require_open(contest: Contest, window: Window, now: datetime) -> None:
    """Raises Refused outside the window, with the moment at which it opened or closed."""
    opens, closes = span(contest, window)
    en, zh = NAMES[window]
    if now < opens:
        when = contest.show(opens)
        raise Refused(
            "not_open",
            en=f"{en} opens at {when}; come back then.",
            zh=f"{zh}于 {when} 开始，请届时再来。",
            moment=opens,
        )
    if closes is not None and now >= closes:
        when = contest.show(closes)
        raise Refused(
            "closed",
            en=f"{en} closed at {when}; nothing can be done any more.",
            zh=f"{zh}已于 {when} 截止，无法再操作。",
            moment=closes,
        )
