"""Finds the change of a port's source that makes the diverging stage agree, and gives it as a diff once it was run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuxian.align.alignment import Alignment
from fuxian.align.mend.proposals import Proposal, Proposer
from fuxian.align.mend.sites import Made, watched
from fuxian.align.mend.source import Source, applied
from fuxian.align.mend.trial import Port, agrees_now, moved_on
from fuxian.errors import InputError
from fuxian.recipe import load_recipe
from fuxian.weights import Overrides

MOST_TRIALS = 10


@dataclass(frozen=True)
class Mend:
    """A change of the port's source.

    ``diff`` is a unified diff with paths relative to ``folder``, empty where there is none, and ``reason`` then says
    why. ``agreed`` is what the change was seen to make agree, in words; ``trials`` is how many changes were run;
    ``path`` is where the diff was written, ``texts`` are the changed files' new texts by their path in ``folder``.
    """

    diff: str = ""
    folder: Path = Path()
    agreed: str = ""
    reason: str = ""
    trials: int = 0
    path: Path | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The ``mend`` of ``--json``."""
        return {
            "path": str(self.path) if self.path is not None else None,
            "diff": self.diff,
            "folder": str(self.folder) if self.diff else None,
            "agreed": self.agreed,
            "reason": self.reason,
            "trials": self.trials,
        }


def mend(
    port: str, alignment: Alignment, *, stages: Sequence[str], overrides: Overrides | None = None
) -> Mend:
    """The smallest change of the port's file, or of those beside it, that makes the diverging stage agree.

    ``alignment`` is that of the recipe file ``port``; its recording of the reference must still be there. Only a proven
    cause is mended, and only with a change that was run on a copy of the port's folder.
    """
    first, diagnosis = alignment.first, alignment.diagnosis
    if first is None or diagnosis is None:
        return Mend(reason="nothing diverges, so nothing is to be mended")
    if not diagnosis.proven:
        why = "is not known" if diagnosis.cause == "unknown" else "is only surmised"
        return Mend(reason=f"the cause {why}; only a proven one is mended")
    file = Path(port)
    if file.suffix != ".py" or not file.is_file():
        return Mend(reason="the port is no recipe file, whose folder could be copied")
    file = file.resolve()
    try:
        _, made = watched(lambda: load_recipe(str(file)), file.parent)
    except InputError as error:
        return Mend(reason=f"the port cannot be made once more ({str(error).rstrip('.')})")
    tried = Port(file, file.parent, stages, overrides)
    partly: Proposal | None = None
    count = 0
    for proposal in Proposer(first, diagnosis, made, file.parent):
        if count == MOST_TRIALS:
            break
        if not _parses(proposal):
            continue
        count += 1
        try:
            after = tried.tried(proposal.edits, alignment.pair.reference)
        except InputError as error:
            return Mend(reason=str(error).rstrip("."))
        if isinstance(after, str):
            continue
        if agrees_now(alignment, after):
            return _made(proposal, file.parent, f"{first.stage} is aligned", count)
        if partly is None and moved_on(alignment, after) and not _shared(proposal, after, made, file.parent):
            partly = proposal
    if partly is not None:
        agreed = f"{first.stage} agrees at {first.place or 'the model itself'}, and differs later"
        return _made(partly, file.parent, agreed, count)
    tries = f"{count} changes were run for {diagnosis.cause}, and none made {first.stage} agree"
    none = f"no change of the source is known for {diagnosis.cause}"
    return Mend(reason=tries if count else none, trials=count)


def _shared(proposal: Proposal, after: Alignment, made: Made, folder: Path) -> bool:
    """Whether what differs now is made or called at a line that the change touches: then it may have come with it."""
    touched = set()
    for edit in proposal.edits:
        text = Source.read(edit.file).text
        first, last = (text.count("\n", 0, place) + 1 for place in (edit.start, edit.end))
        touched |= {f"{edit.file.relative_to(folder).as_posix()}:{line}" for line in range(first, last + 1)}
    scene = after.first.port if after.first is not None else None
    lines = {scene.line, *(call.line for call in scene.calls)} if scene is not None else set()
    place = after.first.place if after.first is not None else ""
    sites = {
        f"{site.file.relative_to(folder).as_posix()}:{line}"
        for path in (place, place.rpartition(".")[0])
        for site in made.layers.get(path, [])
        for line in range(site.line, site.end_line + 1)
    }
    return bool(touched & sites) or any(line.endswith(f"/{part}") for line in lines for part in touched)


def _parses(proposal: Proposal) -> bool:
    try:
        for file, text in _texts(proposal)[1].items():
            compile(text, str(file), "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _texts(proposal: Proposal) -> tuple[dict[Path, str], dict[Path, str]]:
    before = {file: Source.read(file).text for file in proposal.files}
    return before, applied(before, list(proposal.edits))


def _made(proposal: Proposal, folder: Path, agreed: str, trials: int) -> Mend:
    texts = {f.relative_to(folder).as_posix(): text for f, text in _texts(proposal)[1].items()}
    return Mend(_diff(proposal, folder), folder, agreed, trials=trials, texts=texts)


def _diff(proposal: Proposal, folder: Path) -> str:
    before, after = _texts(proposal)
    parts = []
    for file in sorted(before):
        name = file.relative_to(folder).as_posix()
        old, new = (text.splitlines(keepends=True) for text in (before[file], after[file]))
        for line in difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"):
            parts.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return "".join(parts)
