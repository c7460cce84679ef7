"""First to reach: who wins a paper, from the order of receipt and the rulings. Nothing else decides.

Entries are taken in the order of their receipt numbers:

- a ruling ``accepted`` wins if every earlier entry is decided; while an earlier one is not, it is *provisional*;
- after the winner every entry that is not decided against is void;
- an entry whose ruling is ``inconclusive`` stays undecided: it gets a fresh look, then a person's decision;
- entries that are not ranked (organisers, people with access to the data, disqualified teams) neither win nor hold up
  others.

``standings`` is the whole rule. It needs no history: whoever knows the entries and their rulings computes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import Limits


class Ruling(StrEnum):
    """What is known of an entry."""

    none = "none"
    """Not ruled on yet."""
    accepted = "accepted"
    rejected = "rejected"
    inconclusive = "inconclusive"
    """Looked at as often as the limits allow; a person decides."""
    withdrawn = "withdrawn"


class Status(StrEnum):
    """What an entry is, as everybody sees it."""

    queued = "queued"
    """Received; waits for its ruling or is being verified."""
    review = "review"
    """Inconclusive; a person decides."""
    provisional = "provisional"
    """Accepted, while an earlier submission is undecided."""
    won = "won"
    rejected = "rejected"
    void = "void"
    """Another team reached the accuracy first."""
    withdrawn = "withdrawn"
    unranked = "unranked"
    """Accepted out of competition."""
    disqualified = "disqualified"


UNDECIDED = frozenset({Status.queued, Status.review})
"""While one of these stands, no later entry wins."""


@dataclass(frozen=True)
class Entry:
    """One complete submission on a paper."""

    number: int
    """The receipt: in the order in which the server received complete submissions."""
    team: int
    ruling: Ruling = Ruling.none
    ranked: bool = True
    disqualified: bool = False


@dataclass(frozen=True)
class Standing:
    """A race as it stands."""

    status: dict[int, Status]
    """By receipt number."""
    winner: int | None
    """Its receipt number."""


def standings(entries: Iterable[Entry]) -> Standing:
    """Every entry's status and the winner."""
    status: dict[int, Status] = {}
    winner: int | None = None
    undecided = False
    for entry in sorted(entries, key=lambda one: one.number):
        now = _alone(entry)
        if now is Status.won:
            if winner is not None:
                now = Status.void
            elif undecided:
                now = Status.provisional
            else:
                winner = entry.number
        elif now in UNDECIDED:
            if winner is not None:
                now = Status.void
            elif entry.ranked:
                undecided = True
        status[entry.number] = now
    return Standing(status, winner)


def _alone(entry: Entry) -> Status:
    """What the entry would be if it were the only one."""
    if entry.disqualified:
        return Status.disqualified
    if entry.ruling is Ruling.accepted:
        return Status.won if entry.ranked else Status.unranked
    return {
        Ruling.none: Status.queued,
        Ruling.inconclusive: Status.review,
        Ruling.rejected: Status.rejected,
        Ruling.withdrawn: Status.withdrawn,
    }[entry.ruling]


@dataclass(frozen=True)
class Earlier:
    """An attempt that this team, or one of its people in another team, has made."""

    paper: str
    day: date
    """In the contest's time zone."""
    decided: bool
    """Its ruling is final, or it was withdrawn."""


def next_attempt(limits: Limits, paper: str, today: date, earlier: Sequence[Earlier], *, won: bool) -> int:
    """The number of the attempt that a submission would be, from 1. Raises Refused where none is left.

    Attempts whose verification failed on the platform's side were never ended and so are one attempt still.
    """
    if won:
        raise Refused(
            "paper_won",
            en="a team has reached this paper's accuracy; later submissions are void. Choose another paper.",
            zh="该论文已有队伍达到精度，之后的提交无效，请选择其他论文。",
        )
    on_paper = [attempt for attempt in earlier if attempt.paper == paper]
    if any(not attempt.decided for attempt in on_paper):
        raise Refused(
            "undecided",
            en="your last submission on this paper is not decided yet; wait for its ruling.",
            zh="您在该论文上的上一次提交尚无结果，请等待裁定。",
        )
    most = limits.attempts_per_paper
    if len(on_paper) >= most:
        raise Refused(
            "no_attempts",
            en=f"all {most} attempts on this paper are used; no more are taken.",
            zh=f"该论文的 {most} 次提交机会已用完，不再接受提交。",
        )
    daily = limits.attempts_per_day
    if sum(attempt.day == today for attempt in earlier) >= daily:
        raise Refused(
            "daily_limit",
            en=f"{daily} submissions were made today; submit again tomorrow.",
            zh=f"今天已提交 {daily} 次，请明天再提交。",
        )
    return len(on_paper) + 1


class Next(StrEnum):
    """What follows a finished look."""

    retry = "retry"
    """The platform failed: the same look again, at no cost."""
    look = "look"
    """Inconclusive: a fresh look within the alpha that is left."""
    final = "final"
    """The ruling stands, an inconclusive one in a person's hands."""


def after_look(limits: Limits, verdict: str, look: int, *, platform_failed: bool) -> Next:
    """What follows the ``look``-th look of an attempt, from 1."""
    if platform_failed:
        return Next.retry
    if verdict == "inconclusive" and look < limits.looks_per_attempt:
        return Next.look
    return Next.final
