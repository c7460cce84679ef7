"""Kills workers at random while submissions are judged: nothing is lost, judged twice, or stuck.

    python benchmarks/contest_faults.py --submissions 300 --workers 4 [--database postgresql://...] [--json]

Evaluations are stand-ins of a random length; leases are shortened so that a run takes minutes. The verdict of each
submission is fixed beforehand, and the winners must be those that the order of receipts gives.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from fuxian.contest import jobs
from fuxian.contest.audit import audit_database
from fuxian.contest.evaluation import Result
from fuxian.contest.place import create, open_contest
from fuxian.contest.service import accounts, submissions, teams
from fuxian.contest.service.context import Actor, Role
from fuxian.contest.store.models import Judgement, Submission
from fuxian.contest.worker import Worker

LEASE = timedelta(seconds=4)


def stand_in(work, results, cancel, progress):
    """Takes up to a second; the verdict follows from the commit, and 1 of 10 fails on the platform's side once."""
    cancel.wait(random.random())
    last = work.commit[-1]
    verdict = "accepted" if last == "a" else "inconclusive" if last == "b" else "rejected"
    failed = random.random() < 0.1
    return Result(verdict, "INTERNAL" if failed else "OK", verdict, platform_failed=failed)


def work(folder):
    """One worker process."""
    jobs.LEASE = LEASE
    random.seed(os.getpid())
    Worker(open_contest(Path(folder)), stand_in, beat=1.0).run()


def submit_all(at, count):
    papers = [paper.id for paper in at.contest.paper if paper.judged]
    expected = {}
    for number in range(count):
        with at.database.write() as session:
            account = accounts.imported_account(at, session, f"p{number}@example.org", f"p{number}")
            actor = Actor(account.id, Role.entrant)
        teams.found(at, actor, f"team {number}")
        paper = papers[number % len(papers)]
        submissions.register_paper(at, actor, paper, "")
        # The last third holds the passes: long undecided crowds come before them.
        last = "a" if number > 2 * count / 3 and random.random() < 0.2 else random.choice("bcdef0123456789")
        last = "c" if last == "b" else last
        file = at.folder / "one.bundle"
        file.write_bytes(b"# v2 git bundle\n" + str(number).encode())
        submissions.submit(at, actor, paper, commit=f"{number:039x}{last}", bundle=file)
        if last == "a":
            expected.setdefault(paper, number + 1)
    return expected


def run(count, workers):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "contest"
        create(folder, "class").database.close()
        toml = folder / "contest.toml"
        one = '[[paper]]\nnumber = {n}\nid = "p{n}"\ntitle = "P{n}"\nstars = 2\nclaim = "maml/omniglot-5way-1shot"\n'
        toml.write_text(toml.read_text() + "\n" + "\n".join(one.format(n=n) for n in range(2, 6)))
        at = open_contest(folder, migrate=True)
        expected = submit_all(at, count)
        start = lambda: subprocess.Popen([sys.executable, __file__, "--work", str(folder)])  # noqa: E731
        running = [start() for _ in range(workers)]
        kills, began = 0, time.monotonic()
        while True:
            time.sleep(random.uniform(6.0, 12.0))
            with at.database.read() as session:
                left = session.scalar(
                    select(func.count())
                    .select_from(Submission)
                    .where(Submission.status.in_(("queued", "provisional")))
                )
            if not left or time.monotonic() - began > 1500:
                break
            victim = random.randrange(workers)
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait()
            running[victim] = start()
            kills += 1
        for process in running:
            process.kill()
            process.wait()
        with at.database.read() as session:
            twice = session.execute(
                select(Judgement.submission_id)
                .group_by(Judgement.submission_id, Judgement.look)
                .having(func.count() > 1)
            ).all()
            statuses = dict(
                session.execute(select(Submission.status, func.count()).group_by(Submission.status)).all()
            )
        found = audit_database(at.contest, at.database)
        at.database.close()
        return {
            "submissions": count,
            "workers": workers,
            "kills": kills,
            "seconds": round(time.monotonic() - began, 1),
            "undecided": left,
            "judged_twice": len(twice),
            "statuses": statuses,
            "winners_right": found.winners == expected,
            "audit_agrees": not found.wrong,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--database", help="default: SQLite")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.database:
        os.environ["DATABASE_URL"] = asked.database
    if asked.work:
        work(asked.work)
        sys.exit()
    random.seed(7)
    result = run(asked.submissions, asked.workers)
    if asked.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:16} {value}")
    good = (
        result["winners_right"]
        and result["audit_agrees"]
        and not result["undecided"]
        and not result["judged_twice"]
    )
    sys.exit(0 if good else 1)
