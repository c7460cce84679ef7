"""``fuxian align watch``: a warm process that aligns a port again each time its source is saved.

Both frameworks are imported once, and the reference is recorded once. Each run is a child of its own, so that it sees
the port as it is now, and may end in whatever way.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from fuxian.cli.apart import run_apart
from fuxian.errors import InputError

POLL = 0.2
"""Seconds between two looks at the files."""
SETTLE = 0.05
"""Seconds that a file is left alone once it was seen to change: editors write in several steps."""
INTERRUPTED = 130
Stamp = tuple[int, int] | None


@dataclass(frozen=True)
class Watched:
    """What is aligned, and how; ``show`` prints an alignment and gives its exit code, ``tell`` prints a sentence."""

    port: str
    reference: str
    stages: Sequence[str]
    dtype: str | None
    oracle: bool
    mapping: Path | None
    show: Callable[[Any], int]
    tell: Callable[[str], None]


def watch(watched: Watched) -> int:
    """Aligns now and after each save, until Ctrl-C. Raises InputError where there is no file to watch."""
    for side in (watched.port, watched.reference):
        path = Path(side)
        if not (path.suffix == ".py" and path.is_file()) and not (path / "recording.json").is_file():
            raise InputError(f"{side}: no recipe file that could be watched; give a path to a Python file.")
    _warm()
    with TemporaryDirectory(prefix="fuxian-watch-") as kept:
        try:
            while True:
                began, before = time.monotonic(), _stamps(_files(Path(kept), watched))
                code, ended = run_apart(lambda: _once(watched, Path(kept)))
                if code == INTERRUPTED:
                    break
                if ended:
                    watched.tell(ended)
                files = _files(Path(kept), watched)
                # What was saved during the run is a save too.
                seen = _stamps(files) | before
                count = sum(map(len, files.values()))
                typer.echo(
                    f"{time.monotonic() - began:.1f} s; watching {count} files, Ctrl-C ends it.", err=True
                )
                if _changed_side(files, seen) == "reference":
                    _forget(Path(kept))
        except KeyboardInterrupt:
            pass
    typer.echo("stopped watching.", err=True)
    return 0


def _warm() -> None:
    """Imports what every run needs. No operation runs here: a framework's threads would not survive the fork."""
    import paddle  # noqa: F401

    if importlib.util.find_spec("torch") is not None:
        import torch  # noqa: F401
    import fuxian.align.diagnose
    import fuxian.align.record
    import fuxian.align.terminal
    import fuxian.weights  # noqa: F401


def _once(watched: Watched, kept: Path) -> int:
    """One alignment; the reference is recorded in the first."""
    from fuxian.align.alignment import align
    from fuxian.align.record import record
    from fuxian.align.recording import Recording
    from fuxian.recipe import load_recipe
    from fuxian.weights import load_overrides

    before = set(sys.modules)
    recorded = Path(watched.reference) if Path(watched.reference).is_dir() else kept / "reference"
    code = 2
    try:
        overrides = load_overrides(watched.mapping) if watched.mapping is not None else None
        settings: dict[str, Any] = {
            "stages": watched.stages,
            "oracle": watched.oracle,
            "overrides": overrides,
        }
        if (recorded / "recording.json").is_file():
            code = watched.show(align(watched.port, Recording(recorded), **settings))
        else:
            alignment = align(watched.port, watched.reference, dtype=watched.dtype, **settings)
            code = watched.show(alignment)
            sys.stdout.flush()
            # With every tensor, so that a cause can be sought without the reference.
            record(
                load_recipe(watched.reference),
                recorded,
                stages=watched.stages,
                dtype=alignment.pair.reference.data["dtype"],
                oracle=watched.oracle,
                keep_values=True,
                source=watched.reference,
            )
    except InputError as error:
        watched.tell(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        _note_files(watched, kept, before)
    return code


def _note_files(watched: Watched, kept: Path, before: set[str]) -> None:
    """Writes down which files each side is made of: its recipe, and what that imported from beside it."""
    imported = [
        Path(file).resolve()
        for name in set(sys.modules) - before
        if (file := getattr(sys.modules[name], "__file__", None)) and file.endswith(".py")
    ]
    recipes = {side: Path(source).resolve() for side, source in _sides(watched).items()}
    made = _files(kept, watched)  # A run that failed may not have come to all of them.
    for side, recipe in recipes.items():
        if recipe.suffix == ".py":
            beside = [file for file in imported if file.is_relative_to(recipe.parent)]
            made[side] = list(dict.fromkeys([*made[side], recipe, *beside]))
    for side, other in (("port", "reference"), ("reference", "port")):
        # Where both lie in one folder, what they import is the port's.
        taken = {recipes[other], *(made["port"] if side == "reference" else ())} - {recipes[side]}
        made[side] = [file for file in made[side] if file not in taken]
    text = json.dumps({side: list(map(str, files)) for side, files in made.items()})
    (kept / "files.json").write_text(text, encoding="utf-8")


def _sides(watched: Watched) -> dict[str, str]:
    return {"port": watched.port, "reference": watched.reference}


def _files(kept: Path, watched: Watched) -> dict[str, list[Path]]:
    """The files of each side; the recipes alone where a run did not get as far as to write them down."""
    try:
        held = json.loads((kept / "files.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        held = {side: [source] for side, source in _sides(watched).items() if source.endswith(".py")}
    return {side: [Path(file).resolve() for file in held.get(side, ())] for side in _sides(watched)}


def _changed_side(files: dict[str, list[Path]], seen: dict[Path, Stamp]) -> str:
    """Waits until a file is other than it was seen; ``reference`` where it is one of the reference's."""
    while True:
        now = _stamps(files)
        for side, paths in files.items():
            if any(now[path] != seen[path] for path in paths):
                time.sleep(SETTLE)
                return side
        time.sleep(POLL)


def _stamps(files: dict[str, list[Path]]) -> dict[Path, Stamp]:
    """When each file was last written, and its size; None where it is gone, as while an editor replaces it."""
    found: dict[Path, Stamp] = {}
    for path in (path for paths in files.values() for path in paths):
        try:
            stat = path.stat()
            found[path] = stat.st_mtime_ns, stat.st_size
        except OSError:
            found[path] = None
    return found


def _forget(kept: Path) -> None:
    shutil.rmtree(kept / "reference", ignore_errors=True)
