"""Verifies a pinned submission: the seam between the contest and ``fuxian verify``.

Everything here is plain values, so that an evaluation can run in this process, in another, or on another machine.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuxian.contest.service.context import Context
from fuxian.errors import InputError, PlatformError

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """One look at one submission."""

    submission: int
    paper: str
    claim: str | None
    """PAPER/CLAIM, whose default terms rule."""
    terms: str | None
    """Path of a terms file, in place of the default terms."""
    bundle: str
    """Path of the git bundle."""
    commit: str
    secret: str
    """Hexadecimal; what is drawn follows from it and from ``look``."""
    look: int
    """Of all looks that the team has on the paper, from 1."""
    looks: int
    """How many those are: each is ruled on at alpha / looks."""
    alpha: float
    seed: int | None = None
    """Issued at registration, where the contest asks for a training from it."""


@dataclass(frozen=True)
class Result:
    """What came of it."""

    verdict: str
    """accepted, rejected, inconclusive"""
    reason: str
    """A reason code of ``fuxian.verify.reasons``."""
    detail: str
    platform_failed: bool = False
    cancelled: bool = False
    report: dict[str, Any] = field(default_factory=dict)
    """What the team may read."""
    evidence: Path | None = None
    """A folder; who runs the evaluation keeps it."""


Evaluate = Callable[[Work, Path, threading.Event, Progress], Result]
"""``evaluate(work, results, cancel, progress)``: leaves its evidence in the new folder ``results``."""


def by_fuxian(work: Work, results: Path, cancel: threading.Event, progress: Progress) -> Result:
    """The whole acceptance, on the contest's terms, of the commit in the bundle."""
    from fuxian.verify.terms import load_terms
    from fuxian.verify.verify import verify

    source = work.terms or work.claim
    if source is None:
        return Result("inconclusive", "UNDECIDED", "the paper has no published claim; a person decides.")
    ours: dict[str, Any] = {"attempts": work.looks, "alpha": work.alpha}
    if work.seed is not None:
        ours["seeds"] = (work.seed,)
    try:
        terms = load_terms(source).model_copy(update=ours)
    except InputError as error:
        # The organiser's own file is wrong: nothing that an entrant did.
        raise PlatformError(str(error)) from error
    submission = f"{work.bundle}@{work.commit}"
    secret = bytes.fromhex(work.secret)
    try:
        done = verify(
            submission,
            results,
            terms=terms,
            secret=secret,
            attempt=work.look,
            cancel=cancel,
            listener=lambda event: progress(event.step),
        )
    except InputError as error:
        return Result("rejected", "MALFORMED", str(error).replace(submission, "the submission"))
    report = done.as_dict()
    for name in ("submission", "evidence"):
        report.pop(name, None)
    return Result(
        verdict=done.verdict,
        reason=done.reason.value,
        detail=done.detail,
        platform_failed=done.reason.value == "INTERNAL",
        cancelled=done.reason.value == "CANCELLED",
        report=report,
        evidence=results,
    )


def check_terms(at: Context) -> None:
    """The terms of every paper can be read: else each of its submissions would wait for them.

    Raises InputError that names file and line.
    """
    from fuxian.verify.terms import load_terms

    for paper in at.contest.paper:
        source = paper.claim if paper.terms is None else str(at.folder / paper.terms)
        if source is not None:
            load_terms(source)


def packed(folder: Path) -> Path:
    """A folder of evidence as one file beside it."""
    try:
        return Path(shutil.make_archive(str(folder), "gztar", folder))
    except OSError as error:
        raise PlatformError(f"{folder}: the evidence cannot be packed ({error}); free some space.") from error
