"""What the reference implementation itself gives: its command, and the record of its figure and predictions."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from fuxian.errors import InputError
from fuxian.submission.manifest import FILE_NAME, Manifest, ReferenceCommand
from fuxian.submission.output_pattern import read_figure

RECORD = "results/reference.json"
PREDICTIONS = "results/reference"


def reference_of(manifest: Manifest) -> ReferenceCommand:
    """The manifest's [reference]. Raises InputError where there is none, or it gives nothing to record."""
    reference = manifest.reference
    if reference is None:
        raise InputError(
            f"{manifest.folder / FILE_NAME}: there is no [reference]; add it with the command to run."
        )
    if reference.pattern is None and reference.output is None:
        raise InputError(
            f"{manifest.folder / FILE_NAME}: [reference] says neither how its figure is read nor what it writes; add"
            " pattern or output."
        )
    return reference


def record_reference(manifest: Manifest, printed: str, made: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Writes ``results/reference.json``, and the predictions beside it, and returns the record.

    ``printed`` is the command's output, ``made`` the folder that its output path begins in, ``about`` what is known of
    the run. Raises InputError where the figure or the predictions are not there.
    """
    reference = reference_of(manifest)
    claim = manifest.claim()
    figure = None if reference.pattern is None else read_figure(reference.pattern, printed, reference.scale)
    official = manifest.paper.reference
    record: dict[str, Any] = {
        "paper": manifest.paper.id,
        "claim": claim.id,
        "metric": claim.metric,
        "figure": figure,
        "command": list(reference.run),
        "repo": official.repo if official else None,
        "commit": official.commit if official else None,
        "predictions": None,
        **about,
    }
    results = manifest.folder / RECORD
    results.parent.mkdir(parents=True, exist_ok=True)
    if reference.output is not None:
        written = made / reference.output
        if written.is_symlink() or not written.is_file():
            raise InputError(
                f"the reference did not write {reference.output}; mend output under [reference]."
            )
        kept = manifest.folder / PREDICTIONS / Path(reference.output).name
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(written, kept)
        digest = hashlib.sha256(kept.read_bytes()).hexdigest()
        record["predictions"] = {"file": str(kept.relative_to(manifest.folder)), "sha256": digest}
    results.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return record
