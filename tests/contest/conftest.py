"""Contests on both databases."""

import shutil
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))

from arena import Arena
from postgres import NoPostgres, Postgres

from fuxian.contest.store.database import Database
from fuxian.contest.store.models import Base


@pytest.fixture(scope="session")
def postgres():
    """A server for all tests; skips where PostgreSQL is not installed."""
    try:
        server = Postgres()
    except NoPostgres as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def tables(postgres):
    """One database with the tables: emptied for each test, which is faster than making one."""
    database = Database(postgres.new("contest"))
    database.upgrade()
    yield database
    database.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An SQLite file with the tables."""
    file = tmp_path_factory.mktemp("sqlite") / "contest.sqlite"
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    database.close()
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request):
    return request.param


@pytest.fixture
def emptied(kind, request, tmp_path):
    """Empties the test's database, as often as it is called; returns its address."""

    def empty():
        if kind == "sqlite":
            for old in tmp_path.glob("contest.sqlite*"):
                old.unlink()
            shutil.copy(request.getfixturevalue("migrated"), tmp_path / "contest.sqlite")
            return f"sqlite:///{tmp_path / 'contest.sqlite'}"
        database = request.getfixturevalue("tables")
        names = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
        with database.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        return database.url

    return empty


@pytest.fixture
def url(emptied):
    """The address of a database whose tables are there and empty."""
    return emptied()


@pytest.fixture
def arena(url, tmp_path):
    made = Arena(url, tmp_path / "contest")
    yield made
    made.database.close()
