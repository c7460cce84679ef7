"""The official acceptance checklist: seconds, and no code of the entrant's is run."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.printable import printable
from fuxian.submission.checklist import documents, files, programs, training_log
from fuxian.submission.checklist.finding import Finding, Result, Status
from fuxian.submission.checklist.placeholders import placeholders
from fuxian.submission.checklist.secrets import secrets
from fuxian.submission.checklist.submitted_files import SubmittedFiles, look
from fuxian.submission.checklist.weights_origin import weights_origin
from fuxian.submission.manifest import FILE_NAME, Manifest, load_manifest
from fuxian.untrusted import MIB, parsed

__all__ = ["CHECKS", "UNWAIVABLE", "Finding", "check", "check_manifest"]

CHECKS: dict[str, tuple[str, Callable[[SubmittedFiles], Result]]] = {
    "layout": ("Contrib layout", documents.layout),
    "readme": ("README in an official outline", documents.readme),
    "requirements": ("Requirements name PaddlePaddle", documents.requirements),
    "placeholders": ("Nothing left of the template", placeholders),
    "licence": ("Licence", documents.licence),
    "headers": ("Licence headers", documents.headers),
    "scripts": ("Programs and scripts", programs.scripts),
    "commands": ("Commands of the manifest", programs.commands),
    "log": ("Training log: fields", training_log.fields),
    "log-consistency": ("Training log: consistency", training_log.consistency),
    "lite-data": ("lite_data", documents.lite_data),
    "tipc": ("TIPC files", programs.tipc),
    "port-code": ("The port is Paddle code", programs.port_code),
    "weights-origin": ("Weights were trained, not converted", weights_origin),
    "secrets": ("No secrets", secrets),
    "limits": ("File sizes", files.limits),
    "pickles": ("Weights run no code", files.pickles),
    "links": ("Links stay inside", files.links),
    "contents": ("Files hold what they should", files.contents),
    "git": ("One repository", files.git),
    "names": ("File names", files.names),
    "leftovers": ("No leftovers", files.leftovers),
}
SECONDS = 60.0
"""That a line may take."""
MEMORY = 512 * MIB
OF_WEIGHTS = frozenset({"pickles", "weights-origin"})
"""Lines that read files of weights, and may take ``LARGEST_COPIES`` times the size of the largest in memory."""
LARGEST_COPIES = 4
MOST_BYTES_READ = 1 << 30
UNWAIVABLE = frozenset({"weights-origin", "pickles", "links", "git", "names"})
"""These protect who receives the submission; no reason waives them."""


def check(folder: Path) -> list[Finding]:
    """Every line of the checklist for a submission's folder, in order.

    Every file is read in a child process. Raises InputError where fuxian.toml cannot be read, or waives a line that is
    unknown or cannot be waived, and Malformed for bytes that take too long or too much memory.
    """
    return check_manifest(load_manifest(folder))


def check_manifest(manifest: Manifest, lines: Collection[str] | None = None) -> list[Finding]:
    """As ``check``, with the manifest at hand; of ``lines`` alone, where they are given."""
    reasons = {}
    for waiver in manifest.waive:
        place = f"{manifest.folder / FILE_NAME}: waive {waiver.id!r}"
        if waiver.id not in CHECKS:
            raise InputError(f"{place} is no line of the checklist; the lines are: {', '.join(CHECKS)}.")
        if waiver.id in UNWAIVABLE:
            raise InputError(f"{place} cannot be waived; mend what it finds, and remove the waiver.")
        reasons[waiver.id] = waiver.reason
    run = uuid.uuid4().hex
    largest = parsed(_largest_file, manifest, run, what=f"{manifest.folder}")
    found = []
    for id, (title, _) in CHECKS.items():
        if lines is not None and id not in lines:
            continue
        result = Result(
            **parsed(
                _line,
                manifest,
                run,
                id,
                what=f"{manifest.folder}: {title}",
                seconds=SECONDS,
                memory=MEMORY + LARGEST_COPIES * largest * (id in OF_WEIGHTS),
            )
        )
        found.append(_finding(id, title, result, reasons.get(id)))
    return found


_trees: dict[str, SubmittedFiles] = {}
"""In the child: the folder that was looked at last, by the run of the checklist."""


def _tree(manifest: Manifest, run: str) -> SubmittedFiles:
    if run not in _trees:
        _trees.clear()
        _trees[run] = look(manifest)
    return _trees[run]


def _largest_file(manifest: Manifest, run: str) -> int:
    return min(max(_tree(manifest, run).files.values(), default=0), MOST_BYTES_READ)


def _line(manifest: Manifest, run: str, id: str) -> dict[str, Any]:
    return asdict(CHECKS[id][1](_tree(manifest, run)))


def _finding(id: str, title: str, result: Result, waived: str | None) -> Finding:
    status: Status = result.status
    what = result.what
    if status == "fail" and waived is not None:
        status, what = "waived", f"{what}; waived: {waived}"
    file = None if result.file is None else printable(result.file)
    return Finding(id, title, status, file, result.line, printable(what), result.mend)
