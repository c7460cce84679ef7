"""Measures a claim's figure: the submission's own evaluation in the sandbox, and the figure recomputed outside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.sandbox import readable
from fuxian.submission.output_pattern import read_figure
from fuxian.verdict import LARGEST, Measurements, Run
from fuxian.verify.commands import Done, Workspace, output_place, run_command
from fuxian.verify.numbers import MOST_EXAMPLES, read_json, read_numbers
from fuxian.verify.reasons import Failed, Reason

EVALUATE = "evaluate"
"""What the one evaluation of a self-check is called."""
How = Literal[
    "predictions scored by the organiser",
    "predictions scored by the paper's recipe",
    "per-example outputs",
    "stated by the command",
]
"""Where a figure comes from, best first. The first is a ruling's, on a test that the organiser drew. The next is
computed outside the submission's code as well. Per-example outputs are what its own process wrote, and their mean is
the figure; the last is taken at its word, for there is nothing to recompute it from."""


@dataclass(frozen=True)
class Measured:
    """What was measured, and how far it can be relied on."""

    measurements: Measurements
    how: How
    stated: tuple[float, ...]
    """The figures as the commands stated them; those that count are in ``measurements``."""
    labels: str = "public labels"
    """Whether the submission could have known the answers."""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, and for Measurements.from_dict."""
        stated = [value if math.isfinite(value) else None for value in self.stated]
        return {**self.measurements.as_dict(), "how": self.how, "labels": self.labels, "stated": stated}

    @classmethod
    def from_dict(cls, data: Any, arrays: Mapping[str, np.ndarray] | None = None) -> Measured:
        """The inverse of ``as_dict``. Raises what Measurements.from_dict raises, and KeyError."""
        stated = tuple(math.nan if value is None else float(value) for value in data["stated"])
        return cls(Measurements.from_dict(data, arrays), data["how"], stated, str(data["labels"]))


@dataclass(frozen=True)
class Captured:
    """What an evaluation printed, and the folder in which its paths begin."""

    folder: Path
    stdout: bytes
    stderr: bytes


def captured(at: Workspace, done: Done) -> Captured:
    """What a command that ran here left."""
    return Captured(
        done.made / output_place(at.manifest, "evaluate"), done.outcome.stdout, done.outcome.stderr
    )


def evaluate(at: Workspace, seeds: int | None = None) -> Measured:
    """Evaluates the submitted checkpoint, or with ``seeds`` trains so many of the claim's seeds and evaluates each.

    Raises Failed where a command fails or gives no figure, and InputError where the claim has fewer seeds.
    """
    if seeds is None:
        return read_measured(at, captured(at, run_command(at, "evaluate", EVALUATE, without=outputs(at))))
    if at.claim.subject == "weights":
        raise InputError(f"{at.claim.id} is a claim about one run's weights; leave --seeds out.")
    if not 1 <= seeds <= len(at.claim.seeds):
        raise InputError(f"{at.claim.id} has {len(at.claim.seeds)} seeds; give --seeds from 1 to that.")
    parts = []
    for seed in at.claim.seeds[:seeds]:
        trained = run_command(at, "train", f"train-{seed}", seed=seed, without=outputs(at))
        weights = trained_weights(at, trained)
        label = f"evaluate-{seed}"
        done = run_command(at, "evaluate", label, seed=seed, checkpoint=weights, without=outputs(at))
        parts.append(read_measured(at, captured(at, done), seed))
    runs = tuple(run for part in parts for run in part.measurements.runs)
    return Measured(Measurements(runs), parts[-1].how, tuple(x for part in parts for x in part.stated))


def trained_weights(at: Workspace, trained: Done) -> Path:
    """The one file that ``train`` left at the top of {out} with the ending of the manifest's checkpoint.

    Raises Failed where there is none, or more than one.
    """
    checkpoint = at.manifest.checkpoint_of(at.claim)
    suffix = Path(checkpoint).suffix if checkpoint else ".pdparams"
    found = [path for path in sorted((trained.made / "out").glob(f"*{suffix}")) if path.is_file()]
    if len(found) != 1:
        raise Failed(
            Reason.LAYOUT,
            f"train left {len(found)} files *{suffix} at the top of {{out}}; let it leave one, the last weights.",
        )
    return found[0]


def outputs(at: Workspace) -> list[str]:
    """What evaluate would write into the submission's folder: a file that is there already must not be read for it."""
    if output_place(at.manifest, "evaluate") == "out":
        return []
    return [path for path in (at.manifest.metric.file, at.manifest.commands["evaluate"].output) if path]


def read_measured(at: Workspace, found: Captured, seed: int | None = None) -> Measured:
    """What an evaluation that ran says. Raises Failed where it gave no figure that can be read."""
    claim, metric = at.claim, at.manifest.metric
    folder = found.folder
    try:
        if metric.file is not None:
            stated = _stated(folder / metric.file)
        else:
            stated = Measurements((Run(claim.seeds[0], _printed(at, found)),))
        output = at.manifest.commands["evaluate"].output
        if output is not None and output != metric.file and len(stated.runs) == 1:
            stated = Measurements(
                (replace(stated.runs[0], examples=_examples(folder / output, claim.metric)),)
            )
    except InputError as error:
        raise Failed(Reason.METRIC_MISSING, f"evaluate: {error}") from error
    runs = [run if seed is None else replace(run, seed=seed) for run in stated.runs]
    counted = tuple(_recomputed(run) for run in runs)
    given = all(run.examples is not None or run.units is not None for run in counted)
    how: How = "per-example outputs" if given else "stated by the command"
    return Measured(Measurements(counted), how, tuple(run.value for run in runs))


def _printed(at: Workspace, found: Captured) -> float:
    """The figure that evaluate printed, on either stream; NaN where its output alone says it."""
    metric, output = at.manifest.metric, at.manifest.commands["evaluate"].output
    if metric.pattern is None:
        return math.nan
    streams = readable(found.stdout), readable(found.stderr)
    try:
        return read_figure(metric.pattern, streams, metric.scale)
    except InputError:
        if output is None:
            raise
        # The figures per example are what counts; an hour's evaluation is not lost for a blank in a pattern.
        return math.nan


def _recomputed(run: Run) -> Run:
    if run.units is not None:
        return replace(run, value=run.units.figure())
    if run.examples is None:
        return run
    # A figure that is not finite or beyond all measure fails the run, and its mean may not even be computable.
    usable = all(abs(x) <= LARGEST for x in run.examples)
    value = math.fsum(run.examples) / len(run.examples) if usable else math.nan
    return replace(run, value=value)


def _stated(file: Path) -> Measurements:
    if file.is_symlink() or not file.is_file():
        raise InputError(f"it wrote no {file.name}; mend [metric] in fuxian.toml.")
    document = read_json(file)
    beside = isinstance(document, dict) and document.get("arrays") is not None
    arrays = read_numbers(file.with_suffix(".safetensors")) if beside else None
    found = Measurements.from_dict(document, arrays)
    _require_few(file, sum(len(run.examples or ()) for run in found.runs))
    if not found.runs or any(run.examples == () for run in found.runs):
        raise InputError(f"{file.name} holds no figure; write it as `fuxian evaluate` does.")
    return found


def _examples(file: Path, metric: str) -> tuple[float, ...]:
    arrays = read_numbers(file)
    found = (
        arrays.get(metric) if metric in arrays else next(iter(arrays.values())) if len(arrays) == 1 else None
    )
    if found is None or found.size == 0 or found.dtype.kind not in "biuf":
        raise InputError(f"{file.name}: holds no array {metric!r} with a figure per example; write it.")
    _require_few(file, found.size)
    return tuple(np.asarray(found, dtype=np.float64).ravel().tolist())


def _require_few(file: Path, examples: int) -> None:
    if examples > MOST_EXAMPLES:
        raise InputError(
            f"{file.name}: it holds the figures of {examples} examples, more than {MOST_EXAMPLES}; write one a unit of"
            " the test."
        )
