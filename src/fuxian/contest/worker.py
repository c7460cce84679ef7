"""A worker: claims jobs, does them, reports. Killed at any point, its work goes to another."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from fuxian.contest import jobs
from fuxian.contest.evaluation import Evaluate, Result, packed
from fuxian.contest.fingerprints import sketch
from fuxian.contest.service import rulings
from fuxian.contest.service.context import Context
from fuxian.contest.service.submissions import bundle_name
from fuxian.errors import PlatformError
from fuxian.verify.reasons import Failed
from fuxian.verify.source import fetch_remote, pin

IDLE = 1.0
"""Seconds between two looks into an empty queue."""

logger = logging.getLogger("fuxian.contest.worker")


class Worker:
    """Does one job after the other until it is stopped."""

    def __init__(
        self,
        at: Context,
        evaluate: Evaluate,
        *,
        kinds: Collection[str] = (jobs.PIN, jobs.VERIFY),
        engine: str = "local",
        beat: float = jobs.HEARTBEAT.total_seconds(),
    ) -> None:
        self.at = at
        self.evaluate = evaluate
        self.kinds = kinds
        self.engine = engine
        self.beat = beat
        self.host = socket.gethostname()
        self.name = f"{self.host}-{os.getpid()}-{secrets.token_hex(3)}"
        self.stopping = threading.Event()

    def stop(self) -> None:
        """Ends after giving back what is being done."""
        self.stopping.set()

    def run(self) -> None:
        """Until ``stop``. A database that does not answer is waited for."""
        while not self.stopping.is_set():
            try:
                if not self.step():
                    self.stopping.wait(IDLE)
            except (DBAPIError, PlatformError, OSError) as error:
                logger.warning("waiting: %s", str(error).splitlines()[0][:200])
                self.stopping.wait(5 * IDLE)
        with suppress(DBAPIError):
            rulings.seen(self.at, self.name, self.host, self.engine, None, stopped=True)

    def step(self) -> bool:
        """One job; False where there was none."""
        rulings.seen(self.at, self.name, self.host, self.engine, None)
        held = jobs.claim(self.at.database, self.name, self.at.now(), self.kinds)
        if held is None:
            return False
        logger.info("job %d (%s of submission %d) begins", held.job, held.kind, held.submission)
        if held.attempts > rulings.LOST_WORKERS:
            rulings.hand_to_person(
                self.at, held, f"{held.attempts - 1} workers ended without a result; a person looks at it."
            )
            return True
        cancel, pulse_ends = threading.Event(), threading.Event()
        state = {"progress": ""}
        pulse = threading.Thread(target=self._pulse, args=(held, cancel, pulse_ends, state), daemon=True)
        pulse.start()
        try:
            with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place:
                self._do(held, Path(place), cancel, lambda what: state.update(progress=what))
        except (PlatformError, OSError) as error:
            self._failed(held, str(error))
        except DBAPIError:
            # The lease runs out, and the job is taken again.
            raise
        except Exception as error:
            logger.exception("job %d", held.job)
            rulings.platform_failed(self.at, held, f"{type(error).__name__}: {error}")
        finally:
            pulse_ends.set()
            pulse.join()
        return True

    def _pulse(
        self, held: jobs.Claim, cancel: threading.Event, ends: threading.Event, state: dict[str, str]
    ) -> None:
        last = time.monotonic()
        while not ends.wait(min(self.beat, 0.5)):
            if self.stopping.is_set():
                cancel.set()
            if time.monotonic() - last < self.beat:
                continue
            last = time.monotonic()
            # One heartbeat that fails is no reason to stop: the lease holds for two.
            with suppress(DBAPIError):
                if not jobs.heartbeat(self.at.database, held, self.at.now(), state["progress"]):
                    cancel.set()
                rulings.seen(self.at, self.name, self.host, self.engine, held.job)

    def _do(
        self, held: jobs.Claim, place: Path, cancel: threading.Event, progress: Callable[[str], None]
    ) -> None:
        if held.kind == jobs.PIN:
            self._pin(held, place)
            return
        bundle = place / "submission.bundle"
        self.at.artifacts.get(rulings.bundle_of(self.at, held), bundle)
        work = rulings.work_of(self.at, held, bundle)
        take_fingerprint(self.at, held.submission, bundle, work.commit)
        result = self.evaluate(work, place / "evidence", cancel, progress)
        if cancel.is_set() or result.cancelled:
            # Withdrawn, void, lost, or this worker is to stop: for whoever comes next the job is as it was.
            jobs.give_back(self.at.database, held, self.at.now())
            return
        if result.platform_failed:
            self._failed(held, result.detail)
            return
        evidence = self._keep(held, result)
        rulings.finish(self.at, held, result, self.name, evidence)
        logger.info("job %d ended: %s %s", held.job, result.verdict, result.reason)

    def _failed(self, held: jobs.Claim, why: str) -> None:
        logger.warning("job %d failed on our side, and is tried again later: %s", held.job, why[:500])
        rulings.platform_failed(self.at, held, why)

    def _pin(self, held: jobs.Claim, place: Path) -> None:
        wanted = rulings.to_pin(self.at, held)
        try:
            commit, bundle = fetch_remote(wanted.repo, wanted.commit, place)
        except Failed as error:
            rulings.finish(
                self.at, held, Result("rejected", error.reason.value, error.sentence), self.name, None
            )
            return
        digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
        self.at.artifacts.put(bundle_name(digest), bundle)
        rulings.pinned(self.at, held, commit, digest)

    def _keep(self, held: jobs.Claim, result: Result) -> str | None:
        if result.evidence is None or not result.evidence.is_dir():
            return None
        name = f"evidence/{held.submission}/{held.job}-{held.token}.tar.gz"
        self.at.artifacts.put(name, packed(result.evidence))
        return name


def take_fingerprint(at: Context, submission: int, bundle: Path, commit: str) -> None:
    """The signature of a submission's code, for suspected duplicates; nothing depends on it."""
    with tempfile.TemporaryDirectory(prefix="fuxian-contest-") as place, suppress(Failed, OSError):
        found = sketch(pin(f"{bundle}@{commit}", Path(place)).folder)
        if found is not None:
            rulings.keep_fingerprint(at, submission, found)
