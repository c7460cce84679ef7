"""What pages, API and queue cost with many teams and submissions in the store.

    python benchmarks/contest_load.py [--teams 10000] [--submissions 50000] [--database postgresql://...] [--json]

Rows are inserted directly. Then pages are asked for over HTTP at 50 requests a second, as many as arrive at once, from
a server on one core, while every second a submission arrives and so the board changes; the API's routes one after the
other, the audit of the whole log among them; and jobs are claimed by the queue's own functions.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from fuxian.contest import jobs
from fuxian.contest.api.app import make_app
from fuxian.contest.place import create
from fuxian.contest.rules.race import Ruling
from fuxian.contest.service import tallies
from fuxian.contest.service.race import record_ruling, settle
from fuxian.contest.store.log import START, canonical, chain_hash
from fuxian.contest.store.models import Account, Event, Job, Registration, StatusChange, Submission, Team

PAGES = (
    "/board",
    "/papers/maml",
    "/board?day={yesterday}",
    "/board?sort=-submissions&stars=2",
    "/",
    "/submissions",
)
RATE = 50
SECONDS = 20
ROUTES = ("/board", "/papers/maml", "/submissions?paper=maml", "/submissions?status=queued&order=oldest")
WAITING = 2000


def fill(at, teams, count):
    now = at.now()
    papers = [paper.id for paper in at.contest.paper if paper.public]
    with at.database.write() as session:
        session.execute(
            Account.__table__.insert(),
            [
                {
                    "id": n,
                    "email": f"p{n}@x.org",
                    "name": f"p{n}",
                    "role": "entrant",
                    "affiliation": "none",
                    "language": "zh",
                    "identities": {},
                    "created_at": now,
                    "false_identity": False,
                }
                for n in range(1, teams + 1)
            ],
        )
        session.execute(
            Team.__table__.insert(),
            [
                {"id": n, "name": f"t{n}", "folded": f"t{n}", "captain_id": n, "created_at": now}
                for n in range(1, teams + 1)
            ],
        )
        session.execute(
            Registration.__table__.insert(),
            [
                {
                    "team_id": n,
                    "paper": papers[n % len(papers)],
                    "repo": f"https://github.com/t{n}/r",
                    "seed": n,
                    "created_at": now,
                }
                for n in range(1, teams + 1)
            ],
        )
        session.execute(
            Submission.__table__.insert(),
            [
                {
                    "id": n,
                    "number": n,
                    "team_id": 1 + n % teams,
                    "paper": papers[n % len(papers)],
                    "repo": f"https://github.com/t{n % teams}/r",
                    "commit": f"{n:040x}",
                    "source": "api",
                    "attempt": 1,
                    "look": 1,
                    "received_at": now - timedelta(minutes=count - n, hours=1),
                    "status": "rejected" if n <= count - WAITING else "queued",
                    "ruling": "rejected" if n <= count - WAITING else "none",
                    "ranked": True,
                    "secret_opened": False,
                }
                for n in range(1, count + 1)
            ],
        )
        session.execute(
            StatusChange.__table__.insert(),
            [
                {
                    "submission_id": n,
                    "at": now - timedelta(minutes=count - n) - timedelta(hours=ruled),
                    "status": status,
                    "note": "",
                }
                for n in range(1, count + 1)
                for ruled, status in ((1, "queued"), (0, "rejected"))
                if status == "queued" or n <= count - WAITING
            ],
        )
        for n in range(count - WAITING + 1, count + 1):
            session.add(Job(submission_id=n, kind=jobs.VERIFY, rank=1, look=1, run_after=now, created_at=now))
        session.flush()
        fill_log(at, session, teams, papers, count)
        tallies.rebuild(at, session)


def fill_log(at, session, teams, papers, count):
    """The events of these submissions: what an audit reads."""
    last = session.scalars(select(Event).order_by(Event.number.desc()).limit(1)).first()
    number, previous = (last.number, last.hash) if last else (0, START)
    posted = (at.contest.schedule.submission_closes - timedelta(days=1)).isoformat()
    now, rows = at.now(), []
    moment = now.astimezone(UTC).isoformat(timespec="microseconds")
    for n in range(1, count + 1):
        said = {"number": n, "submission": n, "team": 1 + n % teams, "paper": papers[n % len(papers)]}
        said |= {"ranked": True, "secret_hash": f"{n:064x}", "posted_at": posted}
        events = [("submission.received", said)]
        if n <= count - WAITING:
            events.append(("submission.ruled", {"number": n, "submission": n, "ruling": "rejected"}))
        for kind, public in events:
            number += 1
            made = chain_hash(number, moment, kind, public, None, previous)
            rows.append(
                {
                    "number": number,
                    "at": now,
                    "kind": kind,
                    "public": canonical(public),
                    "private": None,
                    "private_hash": None,
                    "previous": previous,
                    "hash": made,
                }
            )
            previous = made
    session.execute(Event.__table__.insert(), rows)


def serve(folder, port):
    """The whole site in a process of its own, on one core."""
    code = f"""
import os, uvicorn
from pathlib import Path
from fuxian.contest.place import open_contest
from fuxian.contest.web.app import make_site
os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})
site = make_site(open_contest(Path({str(folder)!r})), rate=1e9, burst=10**9)
uvicorn.run(site, port={port}, log_level="error")
"""
    return subprocess.Popen([sys.executable, "-c", code])


def changes(at, ends):
    """Every second a submission changes its status, so that nothing stays the same for long."""
    with at.database.read() as session:
        waiting = session.scalars(select(Submission.id).where(Submission.status == "queued")).all()
    for id in waiting:
        if ends.wait(1):
            return
        with at.database.write() as session:
            submission = session.get(Submission, id)
            record_ruling(at, session, submission, Ruling.rejected, "METRIC_SHORT", "", "benchmark")
            session.flush()
            settle(at, session, submission.paper)


def ask(address, seconds):
    """Each page's times at ``RATE`` requests a second over all, whether the one before is answered or not."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    pages = [page.format(yesterday=yesterday) for page in PAGES]
    took = {page: [] for page in pages}

    async def one(client, page):
        began = time.perf_counter()
        answer = await client.get(page)
        took[page].append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, answer.text

    async def all_of_them():
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            for page in pages:
                await client.get(page)
            began, sent = time.perf_counter(), []
            for number in range(int(seconds * RATE)):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                sent.append(asyncio.create_task(one(client, pages[number % len(pages)])))
            await asyncio.gather(*sent)

    asyncio.run(all_of_them())
    return [row(page.partition("?day=")[0] + ("?day=" if "?day=" in page else ""), times)
            for page, times in took.items()]  # fmt: skip


def row(what, took):
    return {
        "what": what,
        "median_ms": round(statistics.median(took), 1),
        "p95_ms": round(statistics.quantiles(took, n=20)[-1], 1),
    }


def measure(teams, count, seconds):
    with tempfile.TemporaryDirectory() as temporary:
        at = create(Path(temporary) / "contest", "2021")
        with at.database.read() as session:
            if session.scalar(select(func.count()).select_from(Submission)):
                raise SystemExit("give an empty database")
        fill(at, teams, count)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server, ends = serve(at.folder, port), threading.Event()
        changing = threading.Thread(target=changes, args=(at, ends))
        address = f"http://127.0.0.1:{port}"
        try:
            while True:
                try:
                    httpx.get(f"{address}/ready", timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(0.2)
            changing.start()
            rows = ask(address, seconds)
        finally:
            ends.set()
            server.terminate()
            server.wait()
        with TestClient(make_app(at, rate=1e9, burst=10**9)) as client:
            for route in ROUTES:
                took = []
                for _ in range(60):
                    began = time.perf_counter()
                    answer = client.get(f"/api/v1{route}")
                    took.append(1000 * (time.perf_counter() - began))
                    assert answer.status_code == 200, answer.text
                rows.append(row(f"API {route}", took))
            for what in ("the first time", "once more"):
                began = time.perf_counter()
                answer = client.get("/api/v1/audit").json()
                took = round(1000 * (time.perf_counter() - began), 1)
                rows.append({"what": f"API /audit, {answer['events']} events, {what}", "ms": took})
                assert answer["agrees"], answer["wrong"][:3]
        began, claimed = time.perf_counter(), 0
        while time.perf_counter() - began < 5 and jobs.claim(at.database, "bench", at.now()) is not None:
            claimed += 1
        rows.append({"what": "claims a second", "rate": round(claimed / (time.perf_counter() - began))})
        at.database.close()
        return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teams", type=int, default=10_000)
    parser.add_argument("--submissions", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of pages under load")
    parser.add_argument("--database", help="an empty database; default: SQLite")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.database:
        os.environ["DATABASE_URL"] = asked.database
    found = measure(asked.teams, asked.submissions, asked.seconds)
    if asked.json:
        print(json.dumps(found))
    else:
        for row in found:
            print("  ".join(f"{name}={value}" for name, value in row.items()))
