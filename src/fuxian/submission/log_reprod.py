"""``log_reprod/``: the official guide's files of an alignment, from two recordings that `fuxian align record` wrote.

``<part>_paddle.npy`` and ``<part>_torch.npy`` hold a dict of arrays as the official tool reads them;
``<part>_diff.log`` says what Fuxian's comparison found. Official guide (ArticleReproduction_CV.md), section 2.2.3.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np

from fuxian.align.recording import Recording
from fuxian.errors import InputError
from fuxian.submission.results import Result

RECORDINGS = ("alignment/port", "alignment/reference")
"""Where a submission keeps its alignment."""
PARTS = {
    "forward": ("forward", r"eval/outputs.*"),
    "metric": ("metric", ""),
    "loss": ("loss", r"loss/losses/.*"),
    "bp_align": ("training_steps", r"steps/\d+/losses/.*"),
}
"""File name -> stage, and its tensors' names in a recording; a metric's figures lie in the stage itself."""


def write_log_reprod(folder: Path, results: list[Result]) -> list[str]:
    """Writes ``log_reprod/`` where the submission holds an alignment; the paths written.

    Raises InputError where only one side was recorded.
    """
    from fuxian.align.alignment import compare_recordings

    places = [folder / name for name in RECORDINGS]
    there = [(place / "recording.json").is_file() for place in places]
    if not any(there):
        return []
    if not all(there):
        raise InputError(
            f"{places[there.index(False)]}: this side of the alignment is missing; record it too."
        )
    port, reference = Recording(places[0]), Recording(places[1])
    out = folder / "log_reprod"
    out.mkdir(exist_ok=True)
    written = []
    stages = {stage.stage: stage for stage in compare_recordings(port, reference, diagnosed=False).stages}
    for part, (stage, pattern) in PARTS.items():
        if stage not in stages:
            continue
        for side, recording in (("paddle", port), ("torch", reference)):
            arrays = _arrays(recording, pattern)
            if arrays:
                write_dict(out / f"{part}_{side}.npy", arrays)
                written.append(f"log_reprod/{part}_{side}.npy")
        result = stages[stage]
        lines = [f"{stage}: {result.verdict}", *result.notes]
        (out / f"{part}_diff.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(f"log_reprod/{part}_diff.log")
    measured = {r.claim.metric: np.asarray(r.verdict.value) for r in results if r.verdict.value is not None}
    targets = {r.claim.metric: np.asarray(r.verdict.target) for r in results}
    for name, figures in (("paddle", measured), ("benchmark", targets)):
        write_dict(out / f"train_align_{name}.npy", figures)
        written.append(f"log_reprod/train_align_{name}.npy")
    return written


def _arrays(recording: Recording, pattern: str) -> dict[str, np.ndarray]:
    if not pattern:
        figures = recording.data["stages"].get("metric", {}).get("figures", {})
        return {name: np.asarray(value, dtype=np.float64) for name, value in figures.items()}
    names = [name for name in recording.names("") if re.fullmatch(pattern, name) and recording.kept(name)]
    return {name: recording.get(name) for name in names}


def write_dict(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """A dict of arrays as ``np.save`` writes one, for the official tool reads no other form."""
    holder = np.empty((), object)
    holder[()] = arrays
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(holder, stream, protocol=3)
