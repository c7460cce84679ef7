"""The steps of a verification as they run: timed, noted, and ended by the first that fails."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuxian import deadline
from fuxian.errors import PlatformError, Stopped
from fuxian.events import Progress
from fuxian.paper import Claim
from fuxian.printable import printable
from fuxian.submission.checklist import Finding
from fuxian.submission.checklist.finding import listed
from fuxian.submission.manifest import Manifest
from fuxian.verify.reasons import OF_FINDING, Failed, Reason
from fuxian.verify.source import Source, file_digest, pin, tree_digest
from fuxian.verify.verification import UNDECIDING, Status, Step, Verification

Made = tuple[Status, str, dict[str, Any]]
"""What a step made where it has a status of its own: status, one clause on it, and more for JSON."""


@dataclass
class Flow:
    """One verification under way."""

    done: Verification
    place: Path
    """A temporary folder."""
    progress: Progress
    current: str = ""
    """The step that runs."""
    subjects: list[dict[str, Any]] = field(default_factory=list)
    """What the evidence will be about."""

    def step(self, name: str, action: Callable[[], Any], say: Callable[[Any], str] = lambda made: "") -> Any:
        """Runs a step and notes how it ended; ``say`` is a clause on what it made."""
        self.current = name
        deadline.check()
        self.progress(name, name)
        began = time.monotonic()
        status: Status
        try:
            made = action()
        except Stopped as error:
            reason = Reason.CANCELLED if error.cancelled else Reason.TIMEOUT
            status = "inconclusive" if reason in UNDECIDING else "fail"
            self._note(name, status, reason, str(error), began, {})
            raise Failed(reason, f"{name}: {error}") from error
        except (Failed, PlatformError) as error:
            reason = error.reason if isinstance(error, Failed) else Reason.INTERNAL
            status = "inconclusive" if reason in UNDECIDING else "fail"
            self._note(name, status, reason, self.without_paths(str(error)), began, {})
            raise
        status, detail, more = made if _has_status(made) else ("pass", say(made), {})
        self._note(name, status, Reason.OK, detail, began, more)
        return made

    def without_paths(self, sentence: str) -> str:
        """What was copied lies in a temporary folder that nobody else knows."""
        return sentence.replace(f"{self.place / 'source' / 'work'}/", "").replace(str(self.place), "")

    def subject(self, name: str, sha256: str, **digests: str) -> None:
        self.subjects.append({"name": name, "digest": {"sha256": sha256, **digests}})

    def subject_code(self, source: Source) -> None:
        commit = {"gitCommit": source.commit} if source.commit else {}
        self.subject("code:submission", tree_digest(source.folder), **commit)

    def subject_weights(self, source: Source, manifest: Manifest, claim: Claim) -> None:
        checkpoint = manifest.checkpoint_of(claim)
        if checkpoint is not None and (source.folder / checkpoint).is_file():
            self.subject(f"weights:{checkpoint}", file_digest(source.folder / checkpoint))

    def _note(
        self, name: str, status: Status, reason: Reason, detail: str, began: float, more: dict[str, Any]
    ) -> None:
        step = Step(name, status, reason, printable(detail), time.monotonic() - began, finite(more))
        self.done.steps.append(step)


def finite(value: Any) -> Any:
    """The value with None for every number that JSON does not have: a command may give any."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return value


def _has_status(made: Any) -> bool:
    return isinstance(made, tuple) and len(made) == 3


def pinned(flow: Flow, submission: str) -> Source:
    """The submission at its commit, copied."""
    source = pin(submission, flow.place / "source")
    flow.done.commit = source.commit
    return source


def differences(source: Source) -> str:
    """A sentence on what is not in the commit, empty where all is."""
    names = source.differing
    if source.commit is None or not names:
        return ""
    what = f"{len(names)} files differ" if len(names) > 1 else "1 file differs"
    return f"{what} from commit {source.commit[:10]}, which was verified: {listed(list(names))}"


def failing_line(findings: list[Finding]) -> Made:
    """Raises Failed for the first failing line of the checklist."""
    failing = [one for one in findings if one.status == "fail"]
    # What could do harm is said first.
    for one in sorted(failing, key=lambda one: one.id not in OF_FINDING):
        where = f"{one.file}: " if one.file else ""
        raise Failed(
            OF_FINDING.get(one.id, Reason.LAYOUT), f"{one.title}: {where}{one.what}; {one.mend or 'mend it'}."
        )
    waived = sum(one.status == "waived" for one in findings)
    return "pass", f"{len(findings)} lines, {waived} waived", {}


def require_ruling(done: Verification) -> Made:
    """Raises Failed where the claim's ruling does not accept."""
    assert done.claim is not None and done.measured is not None and done.ruling is not None  # noqa: S101
    if done.ruling.verdict == "accepted":
        return "pass", done.ruling.reason, {}
    if done.ruling.verdict == "inconclusive":
        bare = done.claim.subject == "weights" and done.measured.how == "stated by the command"
        mend = " A command names the file that it writes them to as output under [commands]." if bare else ""
        raise Failed(Reason.UNDECIDED, done.ruling.reason + mend)
    why = done.ruling.reason
    raise Failed(Reason.METRIC_INVALID if done.ruling.value is None else Reason.METRIC_SHORT, why)


def said(result: Any) -> Made:
    """The status of a step's own result."""
    more = result.as_dict()
    return more.pop("status"), more.pop("detail"), more


def conclude(done: Verification) -> None:
    """Every step has passed, or did not need to."""
    assert done.ruling is not None  # noqa: S101 - the rule step has set it
    done.verdict, done.reason, done.detail = "accepted", Reason.OK, done.ruling.reason
