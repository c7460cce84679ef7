"""Anyone recomputes the winners from the public log."""

import json

import pytest
from arena import CONTEST

from fuxian.contest.audit import audit, audit_database, links_of, read_log
from fuxian.contest.backup import backup, restore
from fuxian.contest.service import disputes
from fuxian.contest.service.context import Role
from fuxian.contest.settings import example_file
from fuxian.contest.store.models import Submission, Winner
from fuxian.errors import InputError


@pytest.fixture
def race(arena):
    organiser = arena.person(Role.organiser)
    a, b, c = (arena.team()[0] for _ in range(3))
    arena.submit(a)
    first = arena.submit(b)["submission"]
    arena.submit(c)
    arena.rule("rejected")
    arena.rule("accepted")
    rejudge = disputes.open_rejudge(arena.at, organiser, [first], "again")
    arena.rule("rejected")
    disputes.apply_rejudge(arena.at, organiser, rejudge)
    arena.rule("accepted")
    return arena


def test_the_log_alone_gives_the_winners(race, tmp_path):
    file = tmp_path / "log.jsonl"
    with file.open("w") as lines:
        for link in links_of(race.database):
            lines.write(json.dumps(link.as_dict()) + "\n")
    found = audit(CONTEST, read_log(file))
    assert found.wrong == []
    assert found.winners == {"maml": 3}
    assert list(found.status.values()) == ["rejected", "rejected", "won"]
    assert "person1@example.org" not in file.read_text()


@pytest.mark.parametrize("change", ["winner", "status", "event"])
def test_what_was_changed_behind_the_log_is_found(race, change):
    assert audit_database(CONTEST, race.database).wrong == []
    with race.database.write() as session:
        if change == "winner":
            session.get(Winner, "maml").submission_id = 1
        elif change == "status":
            session.get(Submission, 1).status = "won"
        else:
            session.connection().exec_driver_sql(
                "UPDATE event SET public = replace(public, '\"team\":3', '\"team\":1') WHERE kind = 'winner.declared'"
            )
    assert audit_database(CONTEST, race.database).wrong != []


@pytest.mark.parametrize("line", ["{}", "[]", "x", '{"number": 1}', "[" * 100_000])
def test_what_is_no_log_is_one_sentence(tmp_path, line):
    file = tmp_path / "log.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(InputError, match="line 1"):
        list(read_log(file))


def test_a_backup_comes_back_whole(race, tmp_path, monkeypatch):
    (race.at.folder / "contest.toml").write_bytes(example_file("2021").read_bytes())
    file = tmp_path / "backup.tar.gz"
    counts = backup(race.at, file)
    assert counts["submission"] == 3
    monkeypatch.delenv("DATABASE_URL", raising=False)
    again = restore(file, tmp_path / "again")
    assert [link.hash for link in links_of(again.database)] == [link.hash for link in links_of(race.database)]
    assert audit_database(CONTEST, again.database).winners == {"maml": 3}
    assert again.signer.public == race.at.signer.public
    with race.database.read() as session:
        digest = session.get(Submission, 1).bundle
    assert again.artifacts.has(f"bundles/{digest}.bundle")
    again.database.close()
    with pytest.raises(InputError, match="already"):
        restore(file, tmp_path / "again")
    with pytest.raises(InputError, match="already"):
        backup(race.at, file)
