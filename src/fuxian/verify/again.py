"""An evaluation that has run, read anew: a figure that a pattern missed is found without another hour of evaluating.

A self-check keeps beside its evidence what ``evaluate`` printed (``logs/evaluate``) and wrote (``captured``). All but
fuxian.toml must be as it was then, and the command the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.json_files import write_json
from fuxian.submission.manifest import FILE_NAME, Manifest
from fuxian.verify.commands import Done, Workspace, output_place
from fuxian.verify.measured_figure import EVALUATE, Captured, Measured, read_measured
from fuxian.verify.source import regular_files, tree_digest

KEPT, ABOUT = "captured", "captured.json"
"""A folder, and a file, beside the evidence."""
MOST_KEPT = 256 << 20


def keep_captured(manifest: Manifest, done: Done, results: Path) -> None:
    """Keeps what an evaluation wrote: all of {out}, for a name may have been wrong, or of the submission's folder what
    the manifest names; what is more than ``MOST_KEPT`` bytes is left out."""
    place = output_place(manifest, "evaluate")
    folder = done.made / place
    files = regular_files(folder) if place == "out" else [folder / name for name in _written(manifest)]
    left = MOST_KEPT
    (results / KEPT).mkdir()
    for file in files:
        if not file.is_file() or file.is_symlink() or file.stat().st_size > left:
            continue
        left -= file.stat().st_size
        kept = results / KEPT / file.relative_to(folder)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept)
    write_json(results / ABOUT, _about(manifest))


def measured_again(at: Workspace, results: Path) -> Measured:
    """The figure of the evaluation that ``results`` has kept, by the manifest as it is now.

    Raises InputError where there is none, or where more than fuxian.toml has changed, and what ``read_measured``
    raises.
    """
    try:
        about = json.loads((results / ABOUT).read_text(encoding="utf-8"))
        logs = [
            (results / "logs" / EVALUATE / f"{stream}.txt").read_bytes() for stream in ("stdout", "stderr")
        ]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{results}: no evaluation was kept there; name the folder of a self-check whose evaluate has run."
        ) from error
    now = _about(at.manifest)
    differing = [name for name in now if about.get(name) != now[name]]
    if differing:
        what = " and ".join({"tree": "files", "command": "the command evaluate"}[name] for name in differing)
        raise InputError(
            f"{results}: {what} of the submission changed since that evaluation ran; verify it without --again."
        )
    return read_measured(at, Captured(results / KEPT, *logs))


def _about(manifest: Manifest) -> dict[str, Any]:
    return {
        "tree": tree_digest(manifest.folder, without=FILE_NAME),
        "command": list(manifest.commands["evaluate"].run),
    }


def _written(manifest: Manifest) -> list[str]:
    named = [name for name in (manifest.metric.file, manifest.commands["evaluate"].output) if name]
    arrays = [str(Path(name).with_suffix(".safetensors")) for name in named if name == manifest.metric.file]
    return [*named, *arrays]
