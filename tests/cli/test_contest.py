"""Every ``fuxian contest`` command, run as the pages print it, against a server of its own."""

import json
import re
import subprocess
import threading
import time

import pytest
import typer
import uvicorn

from fuxian.cli.main import app
from fuxian.contest.place import open_contest
from fuxian.contest.web.app import make_site

PASSWORD = "a long enough pass phrase"  # noqa: S105 - of accounts that live for seconds
ELSEWHERE = {"serve": "tests/contest/test_server.py"}
MAIL = """\
From: ann@example.org
Date: Thu, 26 Nov 2026 10:00:00 +0800
Subject: hello

no template
"""


@pytest.fixture
def contest(fuxian, tmp_path, monkeypatch):
    """``contest(who, words, code)`` runs ``fuxian contest`` as a person; what it prints. Keeps the commands' names."""
    for name in ("DATABASE_URL", "ARTIFACTS_URL", "FUXIAN_CONTEST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUXIAN_CONTEST_PASSWORD", PASSWORD)
    ran = set()

    def run(who, line, *more, code=0):
        monkeypatch.setenv("FUXIAN_CONFIG", str(tmp_path / "config" / who))
        words = [*line.split(), *more]
        ran.add(words[0])
        found, out, err = fuxian("contest", *words)
        assert found == code, (words, out, err)
        return out if code != 2 else err

    run.ran = ran
    return run


@pytest.fixture
def serving():
    """``serving(folder)`` starts the pages and the API of a contest's folder; their address."""
    started = []

    def serve(folder):
        at = open_contest(folder)
        server = uvicorn.Server(uvicorn.Config(make_site(at), port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        started.append((server, thread, at))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread, at in started:
        server.should_exit = True
        thread.join()
        at.database.close()


def repository(folder):
    folder.mkdir()
    (folder / "README.md").write_text("MAML on Paddle\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "work"]):
        git = ["git", "-C", folder, "-c", "user.name=Ann", "-c", "user.email=ann@example.org", *words]
        subprocess.run(git, check=True)


def test_a_contest_by_its_commands(contest, serving, tmp_path, monkeypatch):
    said = contest("teacher", "init my-contest --example class --organiser me@example.org")
    password = re.search(r"shown once\): (\S+)", said)[1]
    monkeypatch.setenv("FUXIAN_CONTEST", serving(tmp_path / "my-contest"))
    monkeypatch.setenv("FUXIAN_CONTEST_PASSWORD", password)
    contest("teacher", "login me@example.org")

    monkeypatch.setenv("FUXIAN_CONTEST_PASSWORD", PASSWORD)
    for who in ("ann", "bo"):
        contest(who, f"account {who}@example.org --name", who)
        assert "organiser can confirm it" in contest(who, f"login {who}@example.org", code=2)
    contest("teacher", "export my-contest before")
    at = open_contest(tmp_path / "my-contest")
    with at.database.read() as session:
        texts = session.connection().exec_driver_sql("SELECT text FROM mail ORDER BY id").scalars().all()
    at.database.close()
    for who, text in zip(("ann", "bo"), texts, strict=True):
        contest(who, f"confirm {text.partition('secret=')[2].strip()}")
        contest(who, f"login {who}@example.org")
    contest("ann", "team", "Few Shots")
    invited = json.loads(contest("ann", "team --invite --json"))["secret"]
    contest("bo", f"team --join {invited}")
    assert "Few Shots" in contest("bo", "team")
    assert "seed: \n" in contest("ann", "register maml")

    repository(tmp_path / "our-work")
    contest("ann", "submit maml our-work --out receipt.json")
    assert json.loads((tmp_path / "receipt.json").read_text())["number"] == 1
    assert "team_name" not in contest("ann", "submit maml", code=2)
    assert "status: queued" in contest("ann", "status 1", code=3)
    assert "steps" in contest("ann", "status")
    contest("teacher", "worker my-contest --once")
    assert "status: rejected" in contest("ann", "status 1", code=1)
    contest("teacher", "rejudge 1 --reason", "to be sure")
    contest("teacher", "worker my-contest --once")
    assert "rejected" in contest("teacher", "rejudge --show 1")
    contest("teacher", "rejudge --cancel 1")
    assert contest("ann", "rejudge --show 1", code=2)

    for form in ("table", "csv", "issue"):
        assert "Model-Agnostic" in contest("ann", f"board --format {form}")
        assert "Model-Agnostic" in contest("teacher", f"board my-contest --format {form}")
    (tmp_path / "comments.json").write_text("[]")
    contest("teacher", "import-thread my-contest comments.json")
    (tmp_path / "hello.eml").write_text(MAIL)
    assert "NOT USED" in contest("teacher", "import-mail my-contest hello.eml", code=1)

    assert "agrees" in contest("teacher", "audit my-contest")
    contest("teacher", "export my-contest public")
    assert "agrees" in contest("teacher", "audit my-contest --log public/log.jsonl")
    contest("teacher", "backup my-contest kept.tar.gz")
    contest("teacher", "restore kept.tar.gz again")
    assert contest("teacher", "audit again") == contest("teacher", "audit my-contest")

    commands = typer.main.get_command(app).commands["contest"].commands
    assert contest.ran | set(ELSEWHERE) == set(commands)
