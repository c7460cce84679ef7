"""What the board and the queue cost with many teams and submissions in the store.

    python benchmarks/contest_load.py [--teams 10000] [--submissions 50000] [--database postgresql://...] [--json]

Rows are inserted directly; then calls go through the API's own routes, one after the other in this process, and jobs
are claimed and given back by the queue's own functions.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from fuxian.contest import jobs
from fuxian.contest.api.app import make_app
from fuxian.contest.place import create
from fuxian.contest.store.models import Account, Job, Registration, StatusChange, Submission, Team

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
                    "received_at": now - timedelta(seconds=count - n),
                    "status": "rejected" if n <= count - WAITING else "queued",
                    "ruling": "rejected",
                    "ranked": True,
                    "secret_opened": False,
                }
                for n in range(1, count + 1)
            ],
        )
        session.execute(
            StatusChange.__table__.insert(),
            [{"submission_id": n, "at": now, "status": "queued", "note": ""} for n in range(1, count + 1)],
        )
        for n in range(count - WAITING + 1, count + 1):
            session.add(Job(submission_id=n, kind=jobs.VERIFY, rank=1, look=1, run_after=now, created_at=now))


def measure(teams, count):
    with tempfile.TemporaryDirectory() as temporary:
        at = create(Path(temporary) / "contest", "2021")
        with at.database.read() as session:
            if session.scalar(select(func.count()).select_from(Submission)):
                raise SystemExit("give an empty database")
        fill(at, teams, count)
        rows = []
        with TestClient(make_app(at, rate=1e9, burst=10**9)) as client:
            for route in ROUTES:
                took = []
                for _ in range(60):
                    began = time.perf_counter()
                    answer = client.get(f"/api/v1{route}")
                    took.append(1000 * (time.perf_counter() - began))
                    assert answer.status_code == 200, answer.text
                rows.append({"what": route, "median_ms": round(statistics.median(took), 1),
                             "p95_ms": round(statistics.quantiles(took, n=20)[-1], 1)})  # fmt: skip
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
    parser.add_argument("--database", help="an empty database; default: SQLite")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.database:
        os.environ["DATABASE_URL"] = asked.database
    found = measure(asked.teams, asked.submissions)
    if asked.json:
        print(json.dumps(found))
    else:
        for row in found:
            print("  ".join(f"{name}={value}" for name, value in row.items()))
