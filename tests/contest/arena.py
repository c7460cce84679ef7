"""A contest to try things on: a clock set by hand, people without passwords, evaluations that end as they are told."""

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from fuxian.contest import jobs
from fuxian.contest.artifacts import Artifacts
from fuxian.contest.evaluation import Result
from fuxian.contest.keys import Signer
from fuxian.contest.service import accounts, rulings, submissions, teams
from fuxian.contest.service.context import Actor, Context, Role
from fuxian.contest.settings import example_file, load_contest
from fuxian.contest.store.database import Database
from fuxian.contest.store.models import Submission, Winner

CONTEST = load_contest(example_file("2021")).model_copy(
    update={"sources": load_contest(example_file("class")).sources}
)
# Two papers can be won in these tests.
CONTEST = CONTEST.model_copy(
    update={
        "paper": tuple(
            paper.model_copy(update={"claim": paper.claim or "maml/omniglot-5way-1shot"})
            if paper.public
            else paper
            for paper in CONTEST.paper
        )
    }
)
OPENS = CONTEST.schedule.opens


class Arena:
    def __init__(self, url: str, folder: Path, contest=CONTEST):
        self.time = OPENS + timedelta(hours=1)
        self.database = Database(url)
        folder.mkdir(parents=True, exist_ok=True)
        self.at = Context(
            contest=contest,
            database=self.database,
            folder=folder,
            artifacts=Artifacts(str(folder / "artifacts")),
            signer=Signer.of(folder),
            clock=lambda: self.time,
            readme=lambda repo: " ".join(paper.title for paper in contest.paper),
        )
        self.serial = itertools.count(1)
        self.bundles = folder

    def person(self, role=Role.entrant, **columns) -> Actor:
        """Somebody with a confirmed account."""
        name = f"person{next(self.serial)}"
        with self.database.write() as session:
            account = accounts.imported_account(self.at, session, f"{name}@example.org", name)
            account.role = role.name
            for column, value in columns.items():
                setattr(account, column, value)
            return Actor(account.id, role)

    def team(self, size=1, paper="maml") -> list[Actor]:
        """A team of so many people, registered for the paper."""
        people = [self.person() for _ in range(size)]
        teams.found(self.at, people[0], f"team{next(self.serial)}")
        for person in people[1:]:
            teams.join(self.at, person, teams.invite(self.at, people[0]))
        submissions.register_paper(self.at, people[0], paper, "")
        return people

    def submit(self, captain, paper="maml", commit=None) -> dict:
        """Uploads something that looks like a bundle; its receipt."""
        number = next(self.serial)
        file = self.bundles / f"{number}.bundle"
        file.write_bytes(b"# v2 git bundle\n" + str(number).encode())
        return submissions.submit(self.at, captain, paper, commit=commit or f"{number:040x}", bundle=file)

    def with_sources(self, **changes):
        """The context with other sources."""
        sources = self.at.contest.sources.model_copy(update=changes)
        return replace(self.at, contest=self.at.contest.model_copy(update={"sources": sources}))

    def pinned(self) -> None:
        """Ends the next fetch well."""
        rulings.pinned(self.at, self.claim(), "d" * 40, "e" * 64)

    def claim(self, worker="w") -> jobs.Claim | None:
        return jobs.claim(self.database, worker, self.time)

    def rule(self, verdict: str, reason: str | None = None, held=None) -> int:
        """Ends the next look with this verdict; the submission."""
        held = held or self.claim()
        assert held is not None
        words = {"accepted": "OK", "rejected": "METRIC_SHORT", "inconclusive": "UNDECIDED"}
        rulings.finish(self.at, held, Result(verdict, reason or words[verdict], verdict), "w", None)
        return held.submission

    def statuses(self, paper="maml") -> list[str]:
        with self.database.read() as session:
            rows = session.query(Submission).filter_by(paper=paper).order_by(Submission.number)
            return [row.status for row in rows]

    def winner(self, paper="maml") -> int | None:
        """The submission that won."""
        with self.database.read() as session:
            found = session.get(Winner, paper)
            return None if found is None else found.submission_id
