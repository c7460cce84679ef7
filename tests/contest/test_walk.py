"""A whole contest with real verifications: a worse checkpoint first, a cheat between, an honest one, then the audit."""

import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fuxian.contest.audit import audit_database
from fuxian.contest.evaluation import by_fuxian
from fuxian.contest.place import create, open_contest
from fuxian.contest.service import accounts, submissions, teams
from fuxian.contest.service.context import Actor, Role, utc_now
from fuxian.contest.store.models import Mail, Submission
from fuxian.contest.worker import Worker
from fuxian.errors import PlatformError
from fuxian.sandbox import run

sys.path.insert(0, str(Path(__file__).parents[1] / "verify"))

from toy_submission import write_toy

VERIFY = Path(__file__).parents[1] / "verify"
TERMS = """\
paper = "organiser"
must_pass = ["check", "origin", "control", "replay", "chain"]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    try:
        run(["/bin/true"])
    except PlatformError as error:
        pytest.skip(f"no sandbox here: {error}")
    monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "keys"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("ARTIFACTS_URL", raising=False)
    return tmp_path


def committed(folder: Path) -> tuple[str, Path]:
    """The folder as a commit, and a bundle of it."""

    def git(*words):
        names = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(
            ["git", "-C", folder, *names, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "-A", "-f")
    git("commit", "-q", "-m", "work")
    bundle = folder.with_suffix(".bundle")
    git("bundle", "create", "-q", str(bundle.resolve()), "HEAD")
    return git("rev-parse", "HEAD"), bundle


def cheat(folder: Path) -> None:
    """Says the right answers without looking."""
    predict = folder / "tools" / "predict.py"
    text = predict.read_text(encoding="utf-8")
    predict.write_text("import os\nos._exit(0)\n" + text, encoding="utf-8")


def test_the_right_team_wins(place):
    folder = place / "contest"
    create(folder, "class").database.close()
    shutil.copytree(VERIFY / "organiser", folder / "organiser")
    (folder / "terms.toml").write_text(TERMS)
    toml = folder / "contest.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(
        text.replace('claim = "maml/omniglot-5way-1shot"', 'terms = "terms.toml"'), encoding="utf-8"
    )
    at = open_contest(folder, migrate=True)

    honest = write_toy(place / "honest")
    entries = {}
    for number, name in enumerate(("cheat", "honest", "late")):
        copy = place / f"team-{name}"
        shutil.copytree(honest, copy)
        if name == "cheat":
            cheat(copy)
        with at.database.write() as session:
            account = accounts.imported_account(at, session, f"{name}@example.org", name)
            actor = Actor(account.id, Role.entrant)
        teams.found(at, actor, name)
        submissions.register_paper(at, actor, "maml", "")
        (copy / "team.txt").write_text(str(number))
        commit, bundle = committed(copy)
        entries[name] = submissions.submit(at, actor, "maml", commit=commit, bundle=bundle)["submission"]

    # A busy machine may fail a verification on its own side; it is tried again an hour later.
    late = [timedelta(0)]
    worker = Worker(replace(at, clock=lambda: utc_now() + late[0]), by_fuxian)
    for _ in range(4):
        while worker.step():
            pass
        late[0] += timedelta(hours=1)
    with at.database.read() as session:
        rows = {name: session.get(Submission, id) for name, id in entries.items()}
        said = {name: (row.status, row.reason, row.detail) for name, row in rows.items()}
        assert said["cheat"][0] == "rejected", said
        # A drawn control may reject one of two equal submissions: the first that passes wins, what follows is void.
        first = next(name for name in ("honest", "late") if said[name][0] != "rejected")
        assert said[first][0] == "won", said
        assert first == "late" or said["late"][0] == "void", said
        assert at.artifacts.has(rows[first].evidence)
        assert rows[first].report["verdict"] == "accepted"
        assert str(place) not in str(rows[first].report)
        won = rows[first].number
        assert session.query(Mail).count() >= 6
    found = audit_database(at.contest, at.database)
    assert found.wrong == []
    assert found.winners == {"maml": won}
    at.database.close()
