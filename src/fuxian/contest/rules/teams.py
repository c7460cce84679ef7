"""Teams: one to five people, one team a person, invite links that serve one person, and the freeze."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from fuxian.contest.rules.refused import Refused
from fuxian.contest.rules.windows import Window, require_open
from fuxian.contest.settings import Contest


@dataclass(frozen=True)
class Team:
    id: int
    captain: int
    members: frozenset[int]
    """Accounts, the captain's among them."""
    submitted: bool = False
    """Whether it has submitted anything: such a team keeps its record and cannot be dissolved."""
    dissolved: bool = False
    disqualified: bool = False


@dataclass(frozen=True)
class Invite:
    team: int
    used: bool = False
    revoked: bool = False


def found(contest: Contest, now: datetime, person: int, current_team: int | None, id: int) -> Team:
    """A new team of one person."""
    require_open(contest, Window.registration, now)
    _in_no_team(current_team)
    return Team(id, person, frozenset((person,)))


def invite(contest: Contest, now: datetime, team: Team, actor: int) -> Invite:
    """A link for one person; the captain's to make."""
    require_open(contest, Window.registration, now)
    _captain(team, actor)
    _room(contest, len(team.members) + 1)
    return Invite(team.id)


def join(
    contest: Contest, now: datetime, team: Team, invite: Invite, person: int, current_team: int | None
) -> tuple[Team, Invite]:
    """The team with the person in it, and the link used up."""
    require_open(contest, Window.registration, now)
    _standing(team)
    if invite.used or invite.revoked or invite.team != team.id:
        raise Refused(
            "invite_used",
            en="this invite link was used or withdrawn; ask the captain for a new one.",
            zh="此邀请链接已使用或已撤回，请向队长索取新链接。",
        )
    _in_no_team(current_team)
    _room(contest, len(team.members) + 1)
    return replace(team, members=team.members | {person}), replace(invite, used=True)


def leave(contest: Contest, now: datetime, team: Team, person: int) -> Team:
    """The team without the person. A captain hands over first; the last one dissolves the team."""
    require_open(contest, Window.teams, now)
    _member(team, person)
    if person == team.captain:
        raise Refused(
            "captain_leaves",
            en="a captain cannot leave; hand over or dissolve the team.",
            zh="队长不能退出，请先转让队长或解散队伍。",
        )
    return replace(team, members=team.members - {person})


def remove(contest: Contest, now: datetime, team: Team, actor: int, person: int) -> Team:
    """The team without a member, by its captain."""
    require_open(contest, Window.teams, now)
    _captain(team, actor)
    return leave(contest, now, team, person)


def hand_over(contest: Contest, now: datetime, team: Team, actor: int, person: int) -> Team:
    """The team with another captain out of its members."""
    require_open(contest, Window.teams, now)
    _captain(team, actor)
    _member(team, person)
    return replace(team, captain=person)


def dissolve(contest: Contest, now: datetime, team: Team, actor: int) -> Team:
    """The team without anybody; only one that has submitted nothing."""
    require_open(contest, Window.teams, now)
    _captain(team, actor)
    if team.submitted:
        raise Refused(
            "has_submitted",
            en="a team that has submitted cannot be dissolved; its attempts stay on record.",
            zh="已提交过的队伍不能解散，其提交次数保留在案。",
        )
    return replace(team, members=frozenset(), dissolved=True)


def merge(contest: Contest, now: datetime, into: Team, other: Team, actor: int) -> tuple[Team, Team]:
    """``into`` with the people of ``other``, and ``other`` dissolved. The captain of ``other`` agrees by acting."""
    require_open(contest, Window.teams, now)
    _standing(into)
    _captain(other, actor)
    if into.id == other.id:
        raise Refused(
            "same_team",
            en="a team cannot merge with itself; name another.",
            zh="队伍不能与自身合并，请指定另一支队伍。",
        )
    _room(contest, len(into.members | other.members))
    joined = replace(into, members=into.members | other.members, submitted=into.submitted or other.submitted)
    return joined, replace(other, members=frozenset(), dissolved=True)


def _standing(team: Team) -> None:
    if team.dissolved or team.disqualified:
        raise Refused(
            "no_team",
            en="this team takes part no longer; found or join another.",
            zh="该队伍已不再参赛，请另行组队。",
        )


def _captain(team: Team, actor: int) -> None:
    _standing(team)
    if actor != team.captain:
        raise Refused(
            "not_captain", en="only the captain may do this; ask them.", zh="只有队长可以操作，请联系队长。"
        )


def _member(team: Team, person: int) -> None:
    _standing(team)
    if person not in team.members:
        raise Refused(
            "not_member",
            en="this person is not in the team; name a member.",
            zh="此人不在队伍中，请指定一名队员。",
        )


def _in_no_team(current_team: int | None) -> None:
    if current_team is not None:
        raise Refused(
            "in_a_team",
            en="each person is in one team only; leave the other first.",
            zh="每人只能加入一支队伍，请先退出原队伍。",
        )


def _room(contest: Contest, size: int) -> None:
    most = contest.limits.team_size
    if size > most:
        raise Refused(
            "team_full",
            en=f"a team has at most {most} people and this would be {size}; make room first.",
            zh=f"每队至多 {most} 人，此操作将达到 {size} 人，请先调整队员。",
        )
