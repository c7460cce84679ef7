"""Runs a port's changed source: on a copy of its folder, against what the reference recorded."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuxian.align.alignment import Alignment, once_more
from fuxian.align.diagnose.view import view
from fuxian.align.mend.source import Edit, Source, applied
from fuxian.align.recording import Recording
from fuxian.align.stages import StageResult
from fuxian.errors import InputError
from fuxian.recipe import load_recipe
from fuxian.weights import Overrides

MOST_ENTRIES = 5_000
SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv"}


@dataclass(frozen=True)
class Port:
    """A port's recipe file in its folder, and how it was aligned."""

    file: Path
    folder: Path
    stages: Sequence[str]
    overrides: Overrides | None

    def tried(self, edits: Sequence[Edit], reference: Recording) -> Alignment | str:
        """The alignment of a copy with the edits; a sentence where the copy does not run."""
        texts = applied({e.file: Source.read(e.file).text for e in edits}, list(edits))
        with tempfile.TemporaryDirectory(prefix="fuxian-mend-") as temporary:
            copy = Path(temporary).resolve() / "copy"
            copied(self.folder, copy)
            for file, text in texts.items():
                (copy / file.relative_to(self.folder)).write_bytes(text.encode())
            try:
                with _as_if_in(self.folder, copy):
                    recipe = load_recipe(str(copy / self.file.relative_to(self.folder)))
                    return once_more(
                        recipe, reference, self.stages, Path(temporary) / "recordings", self.overrides
                    )
            except InputError as error:
                return str(error)
            except Exception as error:  # The changed code may fail in any way.
                return f"{type(error).__name__}: {error}"


@contextmanager
def _as_if_in(folder: Path, copy: Path) -> Iterator[None]:
    """While open, what was imported from the folder is imported from its copy, and no bytecode is left anywhere."""
    path, plain = list(sys.path), sys.dont_write_bytecode
    held = {
        name: module
        for name, module in sys.modules.items()
        if (file := getattr(module, "__file__", None)) is not None and Path(file).is_relative_to(folder)
    }
    for name in held:
        del sys.modules[name]
    sys.path[:] = [
        str(copy / Path(entry).resolve().relative_to(folder))
        if entry and Path(entry).resolve().is_relative_to(folder)
        else entry
        for entry in path
    ]
    sys.dont_write_bytecode = True
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(copy):
                del sys.modules[name]
        sys.modules.update(held)
        sys.path[:] = path
        sys.dont_write_bytecode = plain


def copied(folder: Path, copy: Path) -> None:
    """A copy of a folder: Python files are copied, everything else is linked to.

    Raises InputError for a folder with too many entries to be a port's own.
    """
    left = MOST_ENTRIES

    def fill(at: Path, to: Path) -> None:
        nonlocal left
        to.mkdir()
        for entry in os.scandir(at):
            left -= 1
            if left < 0:
                raise InputError(
                    f"{folder}: more than {MOST_ENTRIES} files lie beside the port; move it to a folder of its own."
                )
            if entry.name.startswith(".") or entry.name in SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                fill(Path(entry.path), to / entry.name)
            elif entry.name.endswith(".py") and entry.is_file():
                (to / entry.name).write_bytes(Path(entry.path).read_bytes())
            else:
                (to / entry.name).symlink_to(entry.path)

    fill(folder, copy)


def agrees_now(before: Alignment, after: Alignment) -> bool:
    """Whether the stage that diverged first is aligned, and nothing that agreed before differs now."""
    assert before.first is not None  # noqa: S101
    now = {result.stage: result for result in after.stages}
    stage = before.first.stage
    return stage in now and now[stage].verdict == "aligned" and not worse(before, after)


def moved_on(before: Alignment, after: Alignment) -> bool:
    """Whether the first divergence is gone and what still differs in its stage differed before and comes later."""
    assert before.first is not None  # noqa: S101
    stage = before.first.stage
    if after.first is None or worse(before, after):
        return False
    if after.first.stage != stage:
        return False
    if before.inventory is not None or stage == "configuration":
        left = [set(a.facts.get("unmatched", ())) for a in (_of(before, stage), _of(after, stage))]
        return bool(left[1] < left[0])
    if stage in ("forward", "loss"):
        return _reproduced(before, after)
    names = [{t.name for t in _of(a, stage).tensors if t.differs} for a in (before, after)]
    return names[1] < names[0]


def _of(alignment: Alignment, stage: str) -> StageResult:
    return alignment.stage(stage)


def _reproduced(before: Alignment, after: Alignment) -> bool:
    """Whether what the reference gave where the port first differed is now among what the port gives."""
    assert before.first is not None and after.first is not None  # noqa: S101
    scene, seen = before.first.reference, view(after.first)
    names = scene.calls[-1].outputs if scene is not None and scene.calls else []
    return seen is not None and bool(names) and all(seen.same_in_port(name) for name in names)


def worse(before: Alignment, after: Alignment) -> bool:
    """Whether a stage that agreed before does not now, or the port raises what it did not."""
    raised = [
        {r.stage for r in a.stages if "error" in r.facts or "message" in r.facts} for a in (before, after)
    ]
    if raised[1] - raised[0] or (after.first is not None and "message" in after.first.facts):
        return True
    agreed = {result.stage for result in before.stages if result.verdict == "aligned"}
    return any(result.stage in agreed and result.verdict == "diverged" for result in after.stages)
