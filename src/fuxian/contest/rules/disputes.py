"""Challenges, appeals and rejudges: a ruling is never overwritten, it is made again and compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from fuxian.contest.rules.race import Entry, Ruling, Standing, standings
from fuxian.contest.rules.refused import Refused
from fuxian.contest.settings import Contest


def require_dispute(
    contest: Contest, now: datetime, ruled_at: datetime | None, own: bool, evidence: str
) -> None:
    """Whether a team may challenge a ruling on another's submission, or appeal against its own. Raises Refused."""
    if ruled_at is None:
        raise Refused(
            "not_ruled",
            en="there is no ruling on this submission yet; wait for it.",
            zh="该提交尚无裁定，请等待。",
        )
    until = ruled_at + timedelta(days=contest.limits.challenge_days)
    if now >= until:
        when = contest.show(until)
        raise Refused(
            "closed",
            en=f"this ruling could be disputed until {when}.",
            zh=f"该裁定的异议期已于 {when} 结束。",
            moment=until,
        )
    if not evidence.strip():
        what = ("your reasons", "理由") if own else ("the evidence", "证据")
        raise Refused("no_evidence", en=f"{what[0]} are missing; add them.", zh=f"缺少{what[1]}，请补充。")


class RejudgeState(StrEnum):
    running = "running"
    compared = "compared"
    """Every ruling is made again and can be set beside the old one."""
    applied = "applied"
    cancelled = "cancelled"


@dataclass(frozen=True)
class Difference:
    """What applying a rejudge would change on one paper."""

    before: Standing
    after: Standing

    @property
    def changed(self) -> dict[int, tuple[str, str]]:
        """Old and new status by receipt number, where they differ."""
        return {
            number: (self.before.status[number].value, status.value)
            for number, status in self.after.status.items()
            if self.before.status[number] is not status
        }


def compare(entries: Iterable[Entry], anew: Mapping[int, Ruling]) -> Difference:
    """The race as it stands and as it would be with the new rulings, by receipt number: the decision is replayed."""
    crowd = list(entries)
    changed = [replace(entry, ruling=anew.get(entry.number, entry.ruling)) for entry in crowd]
    return Difference(standings(crowd), standings(changed))


def require_open_rejudge(state: RejudgeState, wanted: RejudgeState) -> None:
    """Applying needs a comparison; what is applied or cancelled stays so. Raises Refused."""
    ended = state in (RejudgeState.applied, RejudgeState.cancelled)
    if ended or (wanted is RejudgeState.applied and state is not RejudgeState.compared):
        raise Refused(
            "rejudge_state",
            en=f"this rejudge is {state.value}; "
            + ("open another." if ended else "wait until it can be compared."),
            zh=f"该重新评测处于 {state.value} 状态；"
            + ("请另行发起。" if ended else "请等待可比较后再操作。"),
        )
