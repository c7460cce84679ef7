"""Scores predictions against labels that only the organiser has: outside the submission's code, and unseen by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuxian.errors import InputError
from fuxian.verdict import Measurements, Run
from fuxian.verify.commands import Workplace, output_place, run_command
from fuxian.verify.evaluate import Measured
from fuxian.verify.numbers import read_numbers
from fuxian.verify.reasons import Failed, Reason


def _accuracy(predicted: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """[N, C] logits or [N] classes, and [N] classes: 1.0 where right."""
    classes_N = predicted.argmax(1) if predicted.ndim == 2 else predicted
    return (classes_N == labels_N).astype(np.float64)


def _squared_error(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of [N, ...] both: the mean square per example."""
    return np.square(predicted - labels).reshape(len(labels), -1).mean(1)


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": _accuracy,
    "mse": _squared_error,
}
"""By the claim's metric."""


def score(at: Workplace, labels: Path) -> Measured:
    """Runs predict, which sees no label, and scores what it wrote.

    Args:
        at: the submission.
        labels: a file with one array [N, ...] in the order of the test split.

    Raises InputError for labels or a metric that cannot be scored, Failed for predictions that cannot.
    """
    metric = SCORES.get(at.claim.metric)
    if metric is None:
        raise InputError(f"no score is known for the metric {at.claim.metric!r}; give no labels.")
    wanted = _joined(read_numbers(labels))
    if "predict" not in at.manifest.commands or at.manifest.commands["predict"].output is None:
        raise Failed(
            Reason.LAYOUT, "the labels are not public, and the manifest has no predict with an output."
        )
    output = at.manifest.commands["predict"].output
    place = output_place(at.manifest, "predict")
    done = run_command(at, "predict", "predict", without=[output] if place == "work" else [])
    try:
        predicted = _joined(read_numbers(done.made / place / output))
    except InputError as error:
        raise Failed(Reason.METRIC_MISSING, f"predict: {error}") from error
    fits = len(predicted) == len(wanted) and (
        predicted.shape == wanted.shape or (at.claim.metric == "accuracy" and predicted.ndim == 2)
    )
    if not fits or predicted.dtype.kind not in "biuf":
        raise Failed(
            Reason.METRIC_INVALID, f"predict wrote {predicted.shape} numbers for {len(wanted)} test examples."
        )
    if not np.isfinite(predicted).all():
        raise Failed(Reason.METRIC_INVALID, "predict wrote numbers that are not finite.")
    examples = tuple(metric(predicted, wanted).tolist())
    run = Run(at.claim.seeds[0], math.fsum(examples) / len(examples), examples)
    return Measured(Measurements((run,)), "labels held by the organiser", ())


def _joined(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """All batches, in the order of their names."""
    ordered = [arrays[name] for name in sorted(arrays)]
    if not ordered or any(one.ndim == 0 or one.shape[1:] != ordered[0].shape[1:] for one in ordered):
        raise InputError("the arrays are no batches of one kind; write one array per batch.")
    return np.concatenate(ordered)
