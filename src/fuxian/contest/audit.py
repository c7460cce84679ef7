"""Recomputes the winners from the public log alone, and compares them with what was declared.

It reads nothing but events: the chain of hashes, receipts, rulings, and what was decided about teams. From these the
rule of ``rules.race`` gives the winners again. Whoever has the public log and Fuxian can do the same.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import select

from fuxian.contest.rules.race import Entry, Ruling, standings
from fuxian.contest.rules.windows import Window, is_open
from fuxian.contest.service.submissions import commitment
from fuxian.contest.settings import Contest
from fuxian.contest.store.database import Database
from fuxian.contest.store.log import Link, broken
from fuxian.contest.store.models import Event, Submission, Winner
from fuxian.errors import InputError

WINDOWS = {
    "team.founded": Window.registration,
    "team.joined": Window.registration,
    "team.invited": Window.registration,
    "team.left": Window.teams,
    "team.removed": Window.teams,
    "team.handed_over": Window.teams,
    "team.dissolved": Window.teams,
    "team.merged": Window.teams,
    "paper.registered": Window.registration,
    "submission.received": Window.submission,
}
BATCH = 2000


@dataclass
class Audit:
    """What came of it; ``wrong`` is empty where everything agrees."""

    events: int = 0
    head: str = ""
    winners: dict[str, int] = field(default_factory=dict)
    """Receipt number by paper, recomputed."""
    status: dict[int, str] = field(default_factory=dict)
    """By receipt number, recomputed."""
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "agrees": not self.wrong,
            "events": self.events,
            "head": self.head,
            "winners": self.winners,
            "wrong": self.wrong,
        }


def audit(contest: Contest, links: Iterable[Link]) -> Audit:
    """Of a public log, from its first event."""
    found = Audit()
    entries: dict[int, Entry] = {}
    papers: dict[int, str] = {}
    numbers: dict[int, int] = {}
    hashes: dict[int, str] = {}
    declared: dict[str, int] = {}
    gone: set[int] = set()
    people: dict[int, int] = {}

    def checked() -> Iterator[Link]:
        for link in links:
            found.events, found.head = link.number, link.hash
            yield link

    kept = list(checked())
    if (sentence := broken(kept)) is not None:
        found.wrong.append(sentence)
        return found
    for link in kept:
        said = link.public
        window = WINDOWS.get(link.kind)
        moment = datetime.fromisoformat(said["posted_at"]) if "posted_at" in said else link.moment
        if window is not None and not is_open(contest, window, moment):
            found.wrong.append(f"event {link.number} ({link.kind}) lies outside the time of {window.value}")
        match link.kind:
            case "team.founded" | "team.joined":
                person = said["captain"] if "captain" in said else said["account"]
                if people.get(person, said["team"]) != said["team"]:
                    found.wrong.append(f"event {link.number}: account {person} is in two teams")
                people[person] = said["team"]
            case "team.left" | "team.removed":
                people.pop(said["account"], None)
            case "team.dissolved":
                people = {one: team for one, team in people.items() if team != said["team"]}
            case "team.merged":
                people = {
                    one: said["into"] if team == said["other"] else team for one, team in people.items()
                }
                entries = {
                    number: replace(one, team=said["into"]) if one.team == said["other"] else one
                    for number, one in entries.items()
                }
            case "submission.received":
                number = said["number"]
                if number != len(entries) + 1:
                    found.wrong.append(f"event {link.number}: receipt {number} is out of order")
                entries[number] = Entry(number, said["team"], ranked=said["ranked"])
                papers[number], numbers[said["submission"]] = said["paper"], number
                hashes[said["submission"]] = said["secret_hash"]
            case "submission.ranked":
                entries[said["number"]] = replace(entries[said["number"]], ranked=said["ranked"])
            case "submission.ruled":
                entries[said["number"]] = replace(entries[said["number"]], ruling=Ruling(said["ruling"]))
            case "team.disqualified":
                gone.add(said["team"])
            case "team.reinstated":
                gone.discard(said["team"])
            case "secret.opened":
                if commitment(said["secret"]) != hashes.get(said["submission"]):
                    found.wrong.append(f"event {link.number}: the secret is not the one that was committed")
            case "winner.declared":
                if said["paper"] in declared:
                    found.wrong.append(f"event {link.number}: paper {said['paper']} has a second winner")
                declared[said["paper"]] = said["number"]
                # What is declared must follow from what was known then.
                if _race(entries, papers, gone, said["paper"]).winner != said["number"]:
                    found.wrong.append(
                        f"event {link.number}: {said['number']} is not the first that reached {said['paper']}"
                    )
            case "winner.revoked":
                declared.pop(said["paper"], None)
            case _:
                pass
    for paper in sorted(set(papers.values())):
        standing = _race(entries, papers, gone, paper)
        found.status |= {number: status.value for number, status in standing.status.items()}
        if standing.winner is not None:
            found.winners[paper] = standing.winner
        if standing.winner != declared.get(paper):
            found.wrong.append(
                f"paper {paper}: the log gives {standing.winner} and {declared.get(paper)} was declared"
            )
    return found


def _race(entries: dict[int, Entry], papers: dict[int, str], gone: set[int], paper: str) -> Any:
    return standings(
        replace(entry, disqualified=entry.team in gone)
        for number, entry in entries.items()
        if papers[number] == paper
    )


def audit_database(contest: Contest, database: Database) -> Audit:
    """Of the whole database: the log, and that the tables say the same."""
    found = audit(contest, links_of(database))
    with database.read() as session:
        declared = select(Winner.paper, Submission.number).join(
            Submission, Submission.id == Winner.submission_id
        )
        winners: dict[str, int | None] = dict(session.execute(declared).tuples().all())
        if winners != found.winners:
            found.wrong.append(f"the table of winners says {winners} and the log gives {found.winners}")
        rows = session.execute(
            select(Submission.number, Submission.status).where(Submission.number.is_not(None))
        )
        for number, status in rows:
            assert number is not None  # noqa: S101 - the query says so
            if found.status.get(number) != status:
                found.wrong.append(
                    f"submission #{number} is {status} and the log gives {found.status.get(number)}"
                )
    return found


@dataclass(frozen=True)
class _Kept:
    state: tuple[Any, ...]
    made: float
    took: float
    audit: Audit

    def stands(self, state: tuple[Any, ...]) -> bool:
        age = time.monotonic() - self.made
        return age < SHARE * self.took or (self.state == state and age < KEPT_SECONDS)


_kept: WeakKeyDictionary[Database, _Kept] = WeakKeyDictionary()
_one_at_a_time = threading.Lock()
KEPT_SECONDS = 600.0
"""For so long an audit stands while nothing happens: what was changed behind the log's back is seen then."""
SHARE = 10.0
"""So many times what it took an audit stands whatever happens: events or not, it takes a tenth of a core at most."""


def audit_for_everyone(contest: Contest, database: Database) -> Audit:
    """As ``audit_database``, made once for a head of the log: it reads the whole log, and anybody may ask for it."""
    with _one_at_a_time:
        state = _state(database)
        kept = _kept.get(database)
        if kept is None or not kept.stands(state):
            began = time.monotonic()
            found = audit_database(contest, database)
            if found.wrong and _state(database) != state:
                # Events came meanwhile: log and tables were not read at one moment.
                found = audit_database(contest, database)
            now = time.monotonic()
            kept = _kept[database] = _Kept(state, now, now - began, found)
        return kept.audit


def _state(database: Database) -> tuple[Any, ...]:
    """The log's head and the winners."""
    with database.read() as session:
        head = session.execute(
            select(Event.number, Event.hash).order_by(Event.number.desc()).limit(1)
        ).first()
        winners = session.execute(select(Winner.paper, Winner.submission_id).order_by(Winner.paper)).all()
    return (head and tuple(head), *map(tuple, winners))


def links_of(database: Database, after: int = 0) -> Iterator[Link]:
    """The public log from an event on."""
    while True:
        with database.read() as session:
            rows = session.scalars(
                select(Event).where(Event.number > after).order_by(Event.number).limit(BATCH)
            ).all()
        if not rows:
            return
        yield from map(Link.of, rows)
        after = rows[-1].number


def read_log(file: Path) -> Iterator[Link]:
    """A public log as ``fuxian contest export`` writes it, one event a line. Raises InputError for what is none."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                link = Link(**json.loads(line))
                if not isinstance(link.public, dict) or link.moment > datetime.max.replace(tzinfo=UTC):
                    raise TypeError("fields of another kind")
            except (ValueError, TypeError, RecursionError) as error:
                raise InputError(
                    f"{file}, line {number}: this is no event of a contest's log ({type(error).__name__})."
                ) from error
            yield link
