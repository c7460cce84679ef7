"""Any change of the audit log is seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from fuxian.contest.store.log import Link, append, broken
from fuxian.contest.store.models import Event

NOW = datetime(2021, 9, 1, tzinfo=UTC)


@pytest.fixture
def links(arena):
    with arena.database.write() as session:
        for number in range(4):
            # The clock jumps back; the log's time does not.
            append(session, NOW - timedelta(hours=number), "kind", {"number": number}, {"private": "名"})
    with arena.database.read() as session:
        return [Link.of(row) for row in session.scalars(select(Event).order_by(Event.number))]


def test_a_whole_log_holds(links):
    assert broken(links) is None
    assert {link.moment for link in links} == {NOW}


@pytest.mark.parametrize(
    "change",
    [
        lambda links: [*links[:1], *links[2:]],
        lambda links: [links[0], links[2], links[1], links[3]],
        lambda links: [*links[:2], replace(links[2], public={"number": 9}), links[3]],
        lambda links: [*links[:2], replace(links[2], private_hash="0" * 64), links[3]],
        lambda links: [replace(links[0], at="2021-08-31T00:00:00.000000+00:00"), *links[1:]],
        lambda links: links[1:],
    ],
)
def test_a_changed_log_does_not(links, change):
    assert broken(change(links)) is not None
