"""Who is ranked, and who may take a prize."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Affiliation(StrEnum):
    """What a participant has to do with the contest."""

    none = "none"
    host_employee = "host_employee"
    """Takes part, without prizes."""
    staff = "staff"
    """Of the organisers: not ranked."""
    data_access = "data_access"
    """Has access to the task's data: not ranked."""


UNRANKED = frozenset({Affiliation.staff, Affiliation.data_access})


@dataclass(frozen=True)
class Person:
    affiliation: Affiliation = Affiliation.none
    banned: bool = False
    false_identity: bool = False
    """Found to have given one: the team's prize is withheld."""


def is_ranked(people: Iterable[Person]) -> bool:
    """A team is ranked if all of its people are."""
    return not any(person.affiliation in UNRANKED for person in people)


class PrizeState(StrEnum):
    due = "due"
    """Deliverables are missing or not confirmed."""
    ready = "ready"
    withheld = "withheld"
    paid = "paid"


@dataclass(frozen=True)
class Prize:
    state: PrizeState
    en: str
    zh: str


def prize(people: Iterable[Person], missing: Iterable[str], *, paid: bool) -> Prize:
    """What becomes of a winner's prize. ``missing`` are the deliverables that are not confirmed yet."""
    crew = list(people)
    if paid:
        return Prize(PrizeState.paid, "paid", "已发放")
    if any(person.false_identity for person in crew):
        return Prize(PrizeState.withheld, "withheld: a false identity was given", "取消：身份信息不实")
    if any(person.affiliation is Affiliation.host_employee for person in crew):
        return Prize(
            PrizeState.withheld, "none: the host company's employees take no prize", "无：主办企业员工不领奖"
        )
    lacking = list(missing)
    if lacking:
        names = ", ".join(lacking)
        return Prize(PrizeState.due, f"waits for: {names}", f"待交：{names}")
    return Prize(PrizeState.ready, "ready to be paid", "可发放")
