"""The audit log: every change of state is an event in a chain of hashes.

The hash of an event covers its public part, the hash of its private part, and the event before. So the public log can
be published without anybody's data, and still whoever holds it sees any change of it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fuxian.contest.store.models import Event

START = "0" * 64


@dataclass(frozen=True)
class Link:
    """A public event."""

    number: int
    at: str
    kind: str
    public: dict[str, Any]
    private_hash: str | None
    previous: str
    hash: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at,
            "kind": self.kind,
            "public": self.public,
            "private_hash": self.private_hash,
            "previous": self.previous,
            "hash": self.hash,
        }

    @classmethod
    def of(cls, row: Event) -> Link:
        return cls(
            row.number,
            _shown(row.at),
            row.kind,
            json.loads(row.public),
            row.private_hash,
            row.previous,
            row.hash,
        )

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.at)


def canonical(document: Any) -> str:
    """The one way in which a document is written: sorted keys, no spaces, every character as it is."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def append(
    session: Session, now: datetime, kind: str, public: dict[str, Any], private: dict[str, Any] | None = None
) -> Event:
    """Adds an event within a ``write`` transaction. The log's time never runs backwards, whatever the clock does."""
    last = session.scalars(select(Event).order_by(Event.number.desc()).limit(1)).first()
    number, previous = (1, START) if last is None else (last.number + 1, last.hash)
    at = now.astimezone(UTC) if last is None else max(now.astimezone(UTC), last.at)
    hidden = None if private is None else canonical({"salt": secrets.token_hex(16), **private})
    hidden_hash = None if hidden is None else sha256(hidden)
    event = Event(
        number=number,
        at=at,
        kind=kind,
        public=canonical(public),
        private=hidden,
        private_hash=hidden_hash,
        previous=previous,
        hash=chain_hash(number, _shown(at), kind, public, hidden_hash, previous),
    )
    session.add(event)
    session.flush()
    return event


def chain_hash(
    number: int, at: str, kind: str, public: dict[str, Any], private_hash: str | None, previous: str
) -> str:
    return sha256(
        canonical(
            {
                "number": number,
                "at": at,
                "kind": kind,
                "public": public,
                "private_hash": private_hash,
                "previous": previous,
            }
        )
    )


def broken(links: Iterable[Link]) -> str | None:
    """A sentence on the first event that does not follow from the one before; None where all do."""
    previous, at = START, ""
    for number, link in enumerate(links, 1):
        made = chain_hash(link.number, link.at, link.kind, link.public, link.private_hash, link.previous)
        if link.number != number or link.previous != previous:
            return f"event {link.number} does not follow event {number - 1}"
        if made != link.hash:
            return f"event {link.number} ({link.kind}) was changed: its hash does not hold"
        if link.at < at:
            return f"event {link.number} is earlier than the one before"
        previous, at = link.hash, link.at
    return None


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
