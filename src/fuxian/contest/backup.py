"""Backup and restore: every table as it was at one moment, and every artifact, in one file.

The same file restores into SQLite and into PostgreSQL. A server may go on working while it is made: the tables are
read in one transaction, and artifacts are never changed once they are there.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, select, text, update
from sqlalchemy.orm import Session

from fuxian.contest import keys, settings
from fuxian.contest.place import open_contest
from fuxian.contest.service.context import Context
from fuxian.contest.store.models import Base, Job, Judgement, Moment, Submission
from fuxian.errors import InputError

FORMAT = 1
BATCH = 1000


def backup(at: Context, file: Path) -> dict[str, int]:
    """Writes the backup; how many rows of each table it holds. Raises InputError where the file is there already."""
    if file.exists():
        raise InputError(f"{file} is there already; name a new file.")
    counts: dict[str, int] = {}
    draft = file.with_name(f".{file.name}.draft")
    with tarfile.open(draft, "w:gz") as archive:
        _add(
            archive,
            "format.json",
            json.dumps({"format": FORMAT, "revision": at.database.revision()}).encode(),
        )
        for name in (settings.FILE_NAME, keys.KEY_FILE):
            archive.add(at.folder / name, name)
        with at.database.read() as session:
            if not at.database.is_sqlite:
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            for table in Base.metadata.sorted_tables:
                with tempfile.TemporaryFile() as rows:
                    counts[table.name] = _dump(session, table, rows)
                    size = rows.tell()
                    rows.seek(0)
                    _add_stream(archive, f"tables/{table.name}.jsonl", rows, size)
            names = sorted(_artifacts(session))
        with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
            for name in names:
                if at.artifacts.has(name):
                    kept = Path(place) / "artifact"
                    at.artifacts.get(name, kept)
                    archive.add(kept, f"artifacts/{name}")
    draft.replace(file)
    return counts


def _artifacts(session: Session) -> Iterator[str]:
    for digest in session.scalars(select(Submission.bundle).where(Submission.bundle.is_not(None)).distinct()):
        yield f"bundles/{digest}.bundle"
    for name in session.scalars(select(Judgement.evidence).where(Judgement.evidence.is_not(None))):
        if name is not None:
            yield name


def _dump(session: Session, table: Table, out: Any) -> int:
    count = 0
    for row in session.execute(select(table).execution_options(yield_per=BATCH)).mappings():
        values = {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()
        }
        out.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def restore(file: Path, folder: Path) -> Context:
    """The contest of a backup in a new folder, and in the database at ``DATABASE_URL`` where that is set.

    Raises InputError where the folder or the database holds a contest already, or the file is no backup.
    """
    if (folder / settings.FILE_NAME).exists():
        raise InputError(f"{folder} holds a contest already; name a new folder.")
    try:
        with tarfile.open(file, "r:gz") as archive:
            about = json.loads(_read(archive, "format.json"))
            if about.get("format") != FORMAT:
                raise InputError(
                    f"{file}: this backup is of another format; restore it with the Fuxian that made it."
                )
            folder.mkdir(parents=True, exist_ok=True)
            (folder / settings.FILE_NAME).write_bytes(_read(archive, settings.FILE_NAME))
            key = folder / keys.KEY_FILE
            key.touch(mode=0o600)
            key.write_bytes(_read(archive, keys.KEY_FILE))
            at = open_contest(folder, migrate=True)
            with at.database.write() as session:
                # The tables were just made, and hold at most the event that says so.
                if session.scalar(select(Submission.id).limit(1)) is not None:
                    raise InputError(f"{at.database.shown} holds a contest already; name an empty database.")
                for table in reversed(Base.metadata.sorted_tables):
                    session.execute(delete(table))
                for table in Base.metadata.sorted_tables:
                    _load(session, table, _read(archive, f"tables/{table.name}.jsonl"))
                session.execute(
                    update(Job)
                    .where(Job.state == "leased")
                    .values(state="queued", lease_until=None, worker=None)
                )
                if not at.database.is_sqlite:
                    _set_sequences(session)
            with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
                for member in archive.getmembers():
                    if member.isreg() and member.name.startswith("artifacts/"):
                        kept = Path(place) / "artifact"
                        kept.write_bytes(_read(archive, member.name))
                        at.artifacts.put(member.name.removeprefix("artifacts/"), kept)
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{file}: this is no whole backup ({type(error).__name__}); take another."
        ) from error
    return at


def _load(session: Session, table: Table, lines: bytes) -> None:
    moments = {column.name for column in table.columns if isinstance(column.type, Moment)}
    batch = []
    for line in lines.splitlines():
        row = json.loads(line)
        batch.append(
            {
                name: datetime.fromisoformat(value) if name in moments and value is not None else value
                for name, value in row.items()
            }
        )
        if len(batch) == BATCH:
            session.execute(table.insert(), batch)
            batch = []
    if batch:
        session.execute(table.insert(), batch)


def _set_sequences(session: Session) -> None:
    """Rows were inserted with their ids: the next one comes after them."""
    for table in Base.metadata.sorted_tables:
        if "id" in table.columns and table.columns["id"].primary_key:
            session.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'),"  # noqa: S608 - our own names
                    f" COALESCE((SELECT MAX(id) FROM {table.name}), 0) + 1, false)"
                )
            )


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return stream.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    _add_stream(archive, name, io.BytesIO(content), len(content))


def _add_stream(archive: tarfile.TarFile, name: str, stream: Any, size: int) -> None:
    about = tarfile.TarInfo(name)
    about.size = size
    archive.addfile(about, stream)
