"""Opens the database and its transactions.

Everything that changes the contest's state runs one after the other, on SQLite by BEGIN IMMEDIATE and on PostgreSQL by
an advisory lock: the audit log is one chain, and the order of receipts is the order in which they became visible.
Claims of jobs and heartbeats change no state of the contest and take no such lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from fuxian.errors import InputError, PlatformError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MS = 30_000
_LOCK = 0x46555849  # "FUXI"


class Database:
    """An engine and the three kinds of transaction."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _engine(url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that changes nothing."""
        with Session(self.engine) as session:
            if self.is_sqlite:
                session.execute(text("BEGIN"))
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may change the contest's state; one at a time."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if self.is_sqlite:
                session.execute(text("BEGIN IMMEDIATE"))
            else:
                session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            yield session

    @contextmanager
    def queue(self) -> Iterator[Session]:
        """A transaction on jobs alone; on PostgreSQL many run side by side."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if self.is_sqlite:
                session.execute(text("BEGIN IMMEDIATE"))
            yield session

    def upgrade(self, revision: str = "head") -> None:
        """Brings the tables to this version of Fuxian. Raises PlatformError where the database does not answer."""
        try:
            with self.engine.connect() as connection:
                command.upgrade(self._alembic(connection), revision)
                connection.commit()
        except OperationalError as error:
            raise PlatformError(
                f"the database {self.shown} does not answer ({_first_line(error)}); start it, or mend DATABASE_URL."
            ) from error

    def downgrade(self, revision: str) -> None:
        with self.engine.connect() as connection:
            command.downgrade(self._alembic(connection), revision)
            connection.commit()

    def revision(self) -> str | None:
        """The migration that the tables are at; None where there are none."""
        try:
            with self.engine.connect() as connection:
                return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except (OperationalError, ProgrammingError):
            return None

    @property
    def shown(self) -> str:
        """The address without its password."""
        return re.sub(r"//([^:@/]*):[^@/]*@", r"//\1:***@", self.url)

    def close(self) -> None:
        self.engine.dispose()

    def _alembic(self, connection: Any) -> Config:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        return config


def _engine(url: str) -> Engine:
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.partition("://")[2]
    if url.startswith("postgresql+psycopg://"):
        return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=15)
    if not url.startswith("sqlite:///"):
        raise InputError(
            f"{url.partition('://')[0]}: give a database as sqlite:///FILE or postgresql://... ."
        )
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: Any) -> None:
        # Transactions are begun by us, with the words that we choose.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().splitlines()[0][:200]
