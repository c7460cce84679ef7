"""Migrations go both ways and end at the tables of the code."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from fuxian.contest.store.database import Database
from fuxian.contest.store.models import Base


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_up_down_and_up_again(kind, tmp_path, request):
    if kind == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'contest.sqlite'}")
    else:
        database = Database(request.getfixturevalue("postgres").new("migrations"))
    try:
        for _ in range(2):
            database.upgrade()
            assert database.revision() is not None
            with database.engine.connect() as connection:
                context = MigrationContext.configure(connection, opts={"compare_type": True})
                assert compare_metadata(context, Base.metadata) == []
            database.downgrade("base")
            assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    finally:
        database.close()
