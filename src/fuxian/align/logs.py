"""The official guide's log files: written from two recordings, and read without running what they hold.

The files are numpy's ``.npy`` holding a pickled dict of arrays, which is what reprod_log writes and its readers
expect. Reading goes through a restricted unpickler that builds numbers, texts, dicts and numpy arrays and nothing
else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fuxian.align.compare import TensorComparison, compare
from fuxian.align.recording import Recording
from fuxian.errors import InputError
from fuxian.weights.storage import as_array, read_inert_object

OFFICIAL_THRESHOLD = 1e-6
TRAIN_THRESHOLD = 0.0015


def export(port: Recording, reference: Recording, folder: Path | str) -> list[Path]:
    """Write the guide's files and diff logs into ``folder``; returns their paths.

    Raises InputError when neither recording holds any of what they are made of.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, collect, threshold in (
        ("forward", _forward, OFFICIAL_THRESHOLD),
        ("metric", _metric, OFFICIAL_THRESHOLD),
        ("loss", _loss, OFFICIAL_THRESHOLD),
        ("bp_align", _training_losses, OFFICIAL_THRESHOLD),
        ("train_align", _metric, TRAIN_THRESHOLD),
    ):
        ours, theirs = collect(port), collect(reference)
        sides = {
            "paddle": ours,
            "benchmark" if name == "train_align" else "torch": theirs,
        }
        if not any(sides.values()):
            continue
        for side, arrays in sides.items():
            path = out / f"{name}_{side}.npy"
            np.save(path, np.array(arrays, dtype=object), allow_pickle=True)
            written.append(path)
        log = out / f"{name}_diff.log"
        log.write_text(_diff_log(ours, theirs, threshold), encoding="utf-8")
        written.append(log)
    if not written:
        raise InputError(
            f"{port.folder}: no forward, metric, loss or training stage was recorded; record them first."
        )
    return written


def _forward(recording: Recording) -> dict[str, np.ndarray]:
    return {f"outputs{name}": recording.get(f"eval/outputs{name}") for name in recording.names("eval/outputs")
            if recording.kept(f"eval/outputs{name}")}  # fmt: skip


def _metric(recording: Recording) -> dict[str, np.ndarray]:
    figures = recording.stages.get("metric", {}).get("figures", {})
    return {name: np.array([float(value)]) for name, value in figures.items()}


def _loss(recording: Recording) -> dict[str, np.ndarray]:
    return {name: recording.get(f"loss/losses/{name}") for name in recording.names("loss/losses/")}


def _training_losses(recording: Recording) -> dict[str, np.ndarray]:
    names = [name for name in recording.names("steps/") if "/losses/" in name]
    return {f"loss_{name.replace('/losses/', '_')}": recording.get(f"steps/{name}") for name in names}


def _diff_log(port: dict[str, np.ndarray], reference: dict[str, np.ndarray], threshold: float) -> str:
    """A diff log in the guide's form, with the largest difference beside the mean that the guide asks for."""
    lines, passed = [], bool(port) and set(port) == set(reference)
    for name in dict.fromkeys([*reference, *port]):
        lines.append(f"{name}:")
        result = compare(name, port.get(name), reference.get(name), threshold)
        if result.problem:
            lines.append(f"\tcheck passed: False, {result.problem}")
            passed = False
            continue
        difference = np.abs(port[name].astype(np.float64) - reference[name].astype(np.float64))
        good = float(difference.mean()) <= threshold
        passed = passed and good
        lines.append(f"\tmean diff: check passed: {good}, value: {difference.mean()}")
        lines.append(f"\tmax diff: value: {difference.max()}")
    return "\n".join([*lines, "diff check passed" if passed else "diff check failed", ""])


def read_log(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a reprod_log file by name. Raises InputError for anything else, a file with code included."""
    path = Path(path)
    try:
        held = read_inert_object(path)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; no code in it was run.") from error
    if held is None:
        raise InputError(f"{path}: not a log of named arrays; give the file reprod_log wrote.")
    if not isinstance(held, dict):
        raise InputError(
            f"{path}: holds {type(held).__name__}, not a dict of named arrays; give reprod_log's file."
        )
    found = {str(name): as_array(value) for name, value in held.items()}
    wrong = [name for name, value in found.items() if value.dtype.kind not in "biuf"]
    if wrong:
        raise InputError(f"{path}: {wrong[0]} is not an array of numbers; give the file reprod_log wrote.")
    return found


def compare_logs(port: Path | str, reference: Path | str, tolerance: float) -> dict[str, Any]:
    """Compare two log files element by element: ``verdict`` and ``tensors``."""
    ours, theirs = read_log(port), read_log(reference)
    results = [
        compare(name, ours.get(name), theirs.get(name), tolerance, reference_name=name)
        for name in dict.fromkeys([*theirs, *ours])
    ]
    return {"verdict": _verdict(results), "tensors": [_plain(result) for result in results]}


def _verdict(results: list[TensorComparison]) -> str:
    if any(result.differs for result in results):
        return "diverged"
    return "aligned" if results and all(result.agrees for result in results) else "inconclusive"


def _plain(result: TensorComparison) -> dict[str, Any]:
    error = result.error if np.isfinite(result.error) else str(result.error)
    return {"name": result.name, "agrees": result.agrees, "problem": result.problem, "error": error,
            "tolerance": result.tolerance, "worst": [list(w) for w in result.worst]}  # fmt: skip
