"""Suspected duplicate accounts: evidence is gathered, a person decides."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

from sqlalchemy import select

from fuxian.contest.fingerprints import Sketch
from fuxian.contest.service.context import Actor, Context, missing, note, paragraph, require_organiser
from fuxian.contest.store.models import Cluster, Fingerprint, Membership, Sighting, Submission

ALIKE = 0.8
"""Of the code's shingles, above which two submissions are looked at."""
MOST_AT_ONE_ADDRESS = 20
"""An address that more accounts share is a school's or an office's, and no evidence."""


def suspect(at: Context, actor: Actor | None) -> int:
    """Looks for accounts that share an address, a device, a repository, or code; how many clusters are new."""
    require_organiser(actor)
    pairs: dict[tuple[int, int], list[str]] = defaultdict(list)
    with at.database.write() as session:
        team_of = dict(session.execute(select(Membership.account_id, Membership.team_id)).tuples().all())
        seen: dict[tuple[str, str], set[int]] = defaultdict(set)
        for account, kind, value in session.execute(
            select(Sighting.account_id, Sighting.kind, Sighting.value)
            .where(Sighting.kind.in_(("address", "device")))
            .distinct()
        ):
            if account is not None:
                seen[kind, value].add(account)
        for (kind, value), accounts in seen.items():
            if 1 < len(accounts) <= MOST_AT_ONE_ADDRESS:
                for one, other in combinations(sorted(accounts), 2):
                    pairs[one, other].append(f"the same {kind}: {value}")
        rows = session.execute(
            select(
                Submission.id,
                Submission.submitted_by,
                Submission.team_id,
                Submission.repo,
                Fingerprint.signature,
            )
            .outerjoin(Fingerprint, Fingerprint.submission_id == Submission.id)
            .where(Submission.submitted_by.is_not(None))
        ).all()
        by_repo: dict[str, set[int]] = defaultdict(set)
        for row in rows:
            if row.repo:
                by_repo[row.repo.rstrip("/").removesuffix(".git").lower()].add(row.submitted_by)
        for repo, accounts in by_repo.items():
            for one, other in combinations(sorted(accounts), 2):
                pairs[one, other].append(f"the same repository: {repo}")
        newest = {row.submitted_by: row for row in rows if row.signature is not None}
        for one, other in combinations(sorted(newest), 2):
            likeness = Sketch.from_hex(newest[one].signature).likeness(
                Sketch.from_hex(newest[other].signature)
            )
            if likeness >= ALIKE:
                pairs[one, other].append(
                    f"submissions {newest[one].id} and {newest[other].id} share {likeness:.0%} of their code"
                )
        new = 0
        for (one, other), evidence in pairs.items():
            if team_of.get(one) is not None and team_of.get(one) == team_of.get(other):
                continue
            key = f"{one},{other}"
            found = session.scalar(select(Cluster).where(Cluster.key == key))
            if found is None:
                session.add(
                    Cluster(
                        key=key, accounts={"ids": [one, other]}, evidence={"lines": evidence}, at=at.now()
                    )
                )
                new += 1
            elif found.state == "open":
                found.evidence = {"lines": evidence}
        note(at, session, "duplicates.looked_for", {"new": new})
        return new


def clusters(at: Context, actor: Actor | None) -> list[dict[str, Any]]:
    require_organiser(actor)
    with at.database.read() as session:
        return [
            {
                "id": row.id,
                "accounts": row.accounts["ids"],
                "evidence": row.evidence["lines"],
                "state": row.state,
                "reason": row.reason,
            }
            for row in session.scalars(select(Cluster).order_by(Cluster.id.desc()).limit(500))
        ]


def decide(at: Context, actor: Actor | None, id: int, *, duplicates: bool, reason: str) -> None:
    """A person's decision on a suspicion. What follows from it (ban, disqualification) is an action of its own."""
    acting = require_organiser(actor)
    with at.database.write() as session:
        row = session.get(Cluster, id)
        if row is None:
            raise missing("suspicion", "疑似重复")
        row.state = "duplicates" if duplicates else "false_positive"
        row.reason, row.decided_by = paragraph(reason), acting.account
        note(
            at, session, "duplicates.decided", {"cluster": id, "state": row.state}, {"accounts": row.accounts}
        )
