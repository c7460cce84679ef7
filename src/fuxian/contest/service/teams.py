"""Teams: founded, joined by links, merged, left; before the freeze."""

from __future__ import annotations

import unicodedata

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from fuxian.contest.rules import teams as rules
from fuxian.contest.rules.refused import Refused
from fuxian.contest.service.context import (
    Actor,
    Context,
    hash_of,
    members_of,
    missing,
    new_secret,
    note,
    notify,
    one_line,
    paragraph,
    require_account,
    require_organiser,
    team_of,
)
from fuxian.contest.service.race import settle_all_of_team
from fuxian.contest.store.models import (
    Account,
    Invite,
    Membership,
    MergeOffer,
    Registration,
    Submission,
    Team,
)


def found(at: Context, actor: Actor | None, name: str) -> int:
    """A team of the actor alone."""
    with at.database.write() as session:
        account = require_account(session, actor)
        rules.found(at.contest, at.now(), account.id, team_of(session, account.id), 0)
        return new_team(at, session, account, name).id


def new_team(at: Context, session: Session, account: Account, name: str) -> Team:
    """The rows of a new team; whether it may be founded has been asked."""
    shown = one_line(name, 60, "team name", "队名")
    folded = fold(shown)
    if session.scalar(select(Team.id).where(Team.folded == folded)) is not None:
        raise Refused(
            "name_taken", en="another team has this name; choose another.", zh="队名已被使用，请换一个。"
        )
    team = Team(name=shown, folded=folded, captain_id=account.id, created_at=at.now())
    session.add(team)
    session.flush()
    session.add(Membership(account_id=account.id, team_id=team.id, joined_at=at.now()))
    note(at, session, "team.founded", {"team": team.id, "name": shown, "captain": account.id})
    return team


def fold(name: str) -> str:
    """Names that look alike to a reader are the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def invite(at: Context, actor: Actor | None) -> str:
    """A link's secret for one person."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        rules.invite(at.contest, at.now(), state_of(session, row), account.id)
        secret, hashed = new_secret()
        session.add(Invite(team_id=row.id, hash=hashed, created_at=at.now()))
        note(at, session, "team.invited", {"team": row.id})
        return secret


def withdraw_invites(at: Context, actor: Actor | None) -> None:
    """Ends every unused link of the team."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        if row.captain_id != account.id:
            raise Refused(
                "not_captain",
                en="only the captain may do this; ask them.",
                zh="只有队长可以操作，请联系队长。",
            )
        session.execute(
            update(Invite)
            .where(Invite.team_id == row.id, Invite.used_at.is_(None), Invite.revoked_at.is_(None))
            .values(revoked_at=at.now())
        )
        note(at, session, "team.invites_withdrawn", {"team": row.id})


def join(at: Context, actor: Actor | None, secret: str) -> int:
    """Joins by a link."""
    with at.database.write() as session:
        account = require_account(session, actor)
        link = session.scalar(select(Invite).where(Invite.hash == hash_of(secret)))
        if link is None:
            raise missing("invite link", "邀请链接")
        row = session.get_one(Team, link.team_id)
        rules.join(
            at.contest,
            at.now(),
            state_of(session, row),
            rules.Invite(link.team_id, link.used_at is not None, link.revoked_at is not None),
            account.id,
            team_of(session, account.id),
        )
        link.used_by, link.used_at = account.id, at.now()
        session.add(Membership(account_id=account.id, team_id=row.id, joined_at=at.now()))
        note(at, session, "team.joined", {"team": row.id, "account": account.id})
        notify(
            at,
            session,
            [row.captain_id],
            zh=f"{account.name} 加入了队伍。",
            en=f"{account.name} joined the team.",
            link="/team",
        )
        return row.id


def leave(at: Context, actor: Actor | None) -> None:
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        rules.leave(at.contest, at.now(), state_of(session, row), account.id)
        session.execute(delete(Membership).where(Membership.account_id == account.id))
        note(at, session, "team.left", {"team": row.id, "account": account.id})


def remove(at: Context, actor: Actor | None, person: int) -> None:
    """By the captain."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        rules.remove(at.contest, at.now(), state_of(session, row), account.id, person)
        session.execute(delete(Membership).where(Membership.account_id == person))
        note(at, session, "team.removed", {"team": row.id, "account": person})
        notify(
            at, session, [person], zh="您已被移出队伍。", en="You were removed from the team.", link="/team"
        )


def hand_over(at: Context, actor: Actor | None, person: int) -> None:
    """By the captain, to a member."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        rules.hand_over(at.contest, at.now(), state_of(session, row), account.id, person)
        row.captain_id = person
        note(at, session, "team.handed_over", {"team": row.id, "captain": person})


def dissolve(at: Context, actor: Actor | None) -> None:
    """By the captain of a team that has submitted nothing."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        rules.dissolve(at.contest, at.now(), state_of(session, row), account.id)
        session.execute(delete(Membership).where(Membership.team_id == row.id))
        row.dissolved_at = at.now()
        note(at, session, "team.dissolved", {"team": row.id})


def offer_merge(at: Context, actor: Actor | None, other: int) -> int:
    """The captain offers to take in another team."""
    with at.database.write() as session:
        account = require_account(session, actor)
        row = own_team(session, account.id)
        away = session.get(Team, other)
        if away is None:
            raise missing("team", "队伍")
        if row.captain_id != account.id:
            raise Refused(
                "not_captain",
                en="only the captain may do this; ask them.",
                zh="只有队长可以操作，请联系队长。",
            )
        # Whether it may be is asked now, as if the other captain agreed, and again when they do.
        rules.merge(at.contest, at.now(), state_of(session, row), state_of(session, away), away.captain_id)
        offer = MergeOffer(into_id=row.id, other_id=other, created_at=at.now())
        session.add(offer)
        session.flush()
        note(at, session, "merge.offered", {"into": row.id, "other": other})
        notify(
            at,
            session,
            [away.captain_id],
            zh=f"队伍“{row.name}”邀请合并。",
            en=f"Team {row.name!r} offers to merge.",
            link="/team",
        )
        return offer.id


def accept_merge(at: Context, actor: Actor | None, id: int) -> int:
    """By the captain of the other team, whose people, papers and attempts go over."""
    with at.database.write() as session:
        account = require_account(session, actor)
        offer = session.get(MergeOffer, id)
        if offer is None or offer.accepted_at is not None:
            raise missing("offer", "合并邀请")
        into, other = session.get_one(Team, offer.into_id), session.get_one(Team, offer.other_id)
        rules.merge(at.contest, at.now(), state_of(session, into), state_of(session, other), account.id)
        offer.accepted_at = at.now()
        other.dissolved_at, other.merged_into = at.now(), into.id
        session.execute(update(Membership).where(Membership.team_id == other.id).values(team_id=into.id))
        has = set(session.scalars(select(Registration.paper).where(Registration.team_id == into.id)))
        for registration in session.scalars(select(Registration).where(Registration.team_id == other.id)):
            if registration.paper not in has:
                registration.team_id = into.id
        session.execute(update(Submission).where(Submission.team_id == other.id).values(team_id=into.id))
        note(at, session, "team.merged", {"into": into.id, "other": other.id})
        settle_all_of_team(at, session, into.id)
        return into.id


def disqualify(at: Context, actor: Actor | None, id: int, reason: str) -> None:
    """By an organiser: the team's results are lost, and its papers are decided as if it had not submitted."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Team, id)
        if row is None:
            raise missing("team", "队伍")
        row.disqualified_at, row.disqualified_for = at.now(), paragraph(reason, 2000)
        note(
            at,
            session,
            "team.disqualified",
            {"team": id, "by": acting.account},
            {"reason": row.disqualified_for},
        )
        notify(
            at,
            session,
            members_of(session, id),
            zh=f"队伍被取消资格：{row.disqualified_for}。可申诉。",
            en=f"The team is disqualified: {row.disqualified_for}. You can appeal.",
            link="/team",
        )
        session.flush()
        settle_all_of_team(at, session, id)


def reinstate(at: Context, actor: Actor | None, id: int, reason: str) -> None:
    """By an organiser, after an appeal that holds."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Team, id)
        if row is None:
            raise missing("team", "队伍")
        row.disqualified_at = row.disqualified_for = None
        note(
            at, session, "team.reinstated", {"team": id, "by": acting.account}, {"reason": paragraph(reason)}
        )
        session.flush()
        settle_all_of_team(at, session, id)


def own_team(session: Session, account: int) -> Team:
    """The account's team. Raises Refused where it has none."""
    id = team_of(session, account)
    if id is None:
        raise Refused("no_team", en="found or join a team first.", zh="请先组队或加入队伍。")
    return session.get_one(Team, id)


def state_of(session: Session, row: Team) -> rules.Team:
    """The team as the rules see it."""
    submitted = session.scalar(select(exists().where(Submission.team_id == row.id)))
    return rules.Team(
        row.id,
        row.captain_id,
        frozenset(members_of(session, row.id)),
        bool(submitted),
        row.dissolved_at is not None,
        row.disqualified_at is not None,
    )
