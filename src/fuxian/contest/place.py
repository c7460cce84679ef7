"""A contest's folder: made by ``init``, opened by everything else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import httpx

from fuxian.contest import settings
from fuxian.contest.artifacts import Artifacts
from fuxian.contest.keys import Signer
from fuxian.contest.service import tallies
from fuxian.contest.service.context import Context, note
from fuxian.contest.settings import load_contest
from fuxian.contest.store.database import Database
from fuxian.contest.store.models import Event
from fuxian.errors import InputError, PlatformError

SQLITE = "contest.sqlite"
ARTIFACTS = "artifacts"
README_BYTES = 500_000


def create(folder: Path, example: str) -> Context:
    """A new contest after an example. Raises InputError where the folder holds one already."""
    file = folder / settings.FILE_NAME
    if file.exists():
        raise InputError(f"{file} is there already; choose another folder, or change that file.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(settings.example_file(example), file)
    return open_contest(folder, migrate=True)


def open_contest(folder: Path, *, migrate: bool = False, address: str = "") -> Context:
    """The contest in a folder. Its database is at ``DATABASE_URL`` and its artifacts at ``ARTIFACTS_URL``, else inside.

    Raises InputError where the folder holds no contest.
    """
    contest = load_contest(folder)
    database = Database(os.environ.get("DATABASE_URL") or f"sqlite:///{(folder / SQLITE).resolve()}")
    if migrate:
        database.upgrade()
    elif database.revision() is None:
        raise InputError(
            f"{folder}: its database {database.shown} has no tables; run fuxian contest serve {folder}."
        )
    at = Context(
        contest=contest,
        database=database,
        folder=folder,
        artifacts=Artifacts(os.environ.get("ARTIFACTS_URL") or str((folder / ARTIFACTS).resolve())),
        signer=Signer.of(folder),
        readme=fetch_readme,
        address=address,
    )
    if migrate:
        _name_rules(at)
    return at


def _name_rules(at: Context) -> None:
    """An event names the contest.toml by its hash: when it is changed, the log says so.

    A changed one may have another time zone, and so other days to count by.
    """
    digest = settings.digest(at.folder / settings.FILE_NAME)
    with at.database.write() as session:
        last = (
            session.query(Event).filter(Event.kind == "contest.rules").order_by(Event.number.desc()).first()
        )
        if last is None or f'"sha256":"{digest}"' not in last.public:
            note(
                at,
                session,
                "contest.rules",
                {"contest": at.contest.id, "sha256": digest, "key": at.signer.public},
            )
            tallies.rebuild(at, session)
        elif tallies.missing(session):
            tallies.rebuild(at, session)


def fetch_readme(repo: str) -> str:
    """The README of a public repository on GitHub or Gitee; empty where there is none.

    Raises PlatformError where the network does not answer.
    """
    host, _, path = repo.removeprefix("https://").removesuffix(".git").rstrip("/").partition("/")
    raw = {
        "github.com": "https://raw.githubusercontent.com/{path}/HEAD/{name}",
        "gitee.com": "https://gitee.com/{path}/raw/HEAD/{name}",
    }.get(host)
    if raw is None:
        return ""
    text = ""
    try:
        with httpx.Client(timeout=20, follow_redirects=False) as client:
            for name in ("README.md", "README_cn.md", "README_CN.md", "README.rst", "README"):
                with client.stream("GET", raw.format(path=path, name=name)) as answer:
                    if answer.status_code == 200:
                        kept = b""
                        for part in answer.iter_bytes():
                            kept += part
                            if len(kept) > README_BYTES:
                                break
                        text += kept[:README_BYTES].decode("utf-8", "replace") + "\n"
    except httpx.HTTPError as error:
        raise PlatformError(f"{host} does not answer ({type(error).__name__}); try again later.") from error
    return text
