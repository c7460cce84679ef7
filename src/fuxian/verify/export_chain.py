"""The chain train (lite) -> export -> infer: the exported network must give what predict gives, number for number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.submission.manifest import CommandName
from fuxian.verify.commands import Done, Workspace, output_place, run_command
from fuxian.verify.control_weights import write_control
from fuxian.verify.measured_figure import trained_weights
from fuxian.verify.numbers import read_numbers
from fuxian.verify.reasons import Failed, Reason

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""The official chain's example allows 1e-5; fused operators round differently on large outputs."""
TIPPED = 0.02
"""An inner loop or a recurrence amplifies rounding, and tips some examples over. This share of all numbers may differ
by more than ``RELATIVE`` of their array's largest, and the evidence counts them. In another network's outputs nearly
all do."""
MOST_TIPPED = 0.2
AS_MANY = 3.0
"""More may, up to ``MOST_TIPPED`` of all, where moving the weights by a unit in their last place tips a third as many:
a network of few steps may send its boxes anywhere."""
LITE_STEPS = 2
Numbers = dict[str, np.ndarray]
CHAIN: tuple[CommandName, ...] = ("predict", "export", "infer")


@dataclass(frozen=True)
class Chain:
    """What came of the chain: ``compared`` numbers differ by at most ``largest``, ``beyond`` of them by more than
    rounding."""

    status: Literal["pass", "not_applicable"]
    detail: str
    compared: int = 0
    largest: float = 0.0
    beyond: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "detail": self.detail,
            "compared": self.compared,
            "largest_difference": self.largest,
            "beyond_rounding": self.beyond,
        }


def run_chain(at: Workspace) -> Chain:
    """Trains a few steps, exports these weights, and compares infer with predict on them.

    Where training cannot be cut short ({steps} is in no argument) the submitted weights are exported instead.

    Raises Failed where a command fails or the outputs differ.
    """
    commands = at.manifest.commands
    missing = [name for name in CHAIN if name not in commands]
    if missing:
        return Chain("not_applicable", f"the manifest has no command {', '.join(missing)}")
    unread = [name for name in ("predict", "infer") if commands[name].output is None]
    if unread:
        return Chain("not_applicable", f"the manifest names no output of {', '.join(unread)}")
    weights = _lite_weights(at)
    which = "the submitted weights" if weights is None else f"weights after {_steps(at)} steps"
    predicted = run_command(at, "predict", "chain-predict", checkpoint=weights, without=_own(at, "predict"))
    exported = run_command(at, "export", "chain-export", checkpoint=weights)
    folder = exported.made / output_place(at.manifest, "export")
    inferred = run_command(at, "infer", "chain-infer", exported=folder, without=_own(at, "infer"))
    numbers = _numbers(at, predicted, "predict")
    found = compare(numbers, _numbers(at, inferred, "infer"))
    require_rounding(found, lambda: _tipped_by_rounding(at, weights, numbers))
    count, beyond, largest = found.count, found.beyond, found.largest
    but = f", but for {beyond} that rounding has tipped" if beyond else ""
    return Chain(
        "pass", f"{count} numbers of infer are those of predict, with {which}{but}", count, largest, beyond
    )


def _lite_weights(at: Workspace) -> Path | None:
    train = at.manifest.commands.get("train")
    if train is None or not any("{steps}" in text for text in train.run):
        return None
    return trained_weights(at, run_command(at, "train", "chain-train", steps=_steps(at)))


def _steps(at: Workspace) -> int:
    return min(at.claim.quick.iterations, LITE_STEPS) if at.claim.quick else LITE_STEPS


def _own(at: Workspace, name: CommandName) -> list[str]:
    output = at.manifest.commands[name].output
    return [output] if output is not None and output_place(at.manifest, name) == "work" else []


def _numbers(at: Workspace, done: Done, name: CommandName) -> Numbers:
    output = at.manifest.commands[name].output
    assert output is not None  # noqa: S101 - run_chain() has checked
    try:
        return read_numbers(done.made / output_place(at.manifest, name) / output)
    except InputError as error:
        raise Failed(Reason.CHAIN_MISMATCH, f"{name}: {error}") from error


def _tipped_by_rounding(at: Workspace, weights: Path | None, predicted: Numbers) -> int:
    """How many of predict's own numbers rounding the weights tips over."""
    if weights is None:
        named = at.manifest.checkpoint_of(at.claim)
        if named is None:
            return 0
        weights = at.manifest.folder / named
    rounded = at.place / f"rounded{weights.suffix}"
    try:
        write_control("rounded", weights, rounded, seed=0)
    except InputError:
        return 0
    done = run_command(
        at, "predict", "chain-predict-rounded", checkpoint=rounded, without=_own(at, "predict")
    )
    return compare(predicted, _numbers(at, done, "predict")).beyond


@dataclass(frozen=True)
class Comparison:
    """So many numbers were compared, ``beyond`` of them differ by more than rounding, the largest difference is in the
    array ``where``."""

    count: int
    beyond: int
    largest: float
    where: str


def require_rounding(found: Comparison, tipped_by_rounding: Callable[[], int]) -> None:
    """Raises Failed where more numbers differ than ``TIPPED`` of all and than what rounding the weights explains, which
    is asked for where it matters."""
    few = found.beyond <= TIPPED * found.count
    if few or (found.beyond <= MOST_TIPPED * found.count and found.beyond <= AS_MANY * tipped_by_rounding()):
        return
    raise Failed(
        Reason.CHAIN_MISMATCH,
        f"{found.where[:60]!r}: infer differs from predict by {found.largest:.3g}, and {found.beyond} of {found.count}"
        " numbers by more than rounding.",
    )


def compare(predicted: Numbers, inferred: Numbers) -> Comparison:
    """Compares all numbers. Raises Failed where the arrays are not the same ones, or hold no numbers."""
    if predicted.keys() != inferred.keys() or not predicted:
        odd = sorted(predicted.keys() ^ inferred.keys())[:3]
        raise Failed(
            Reason.CHAIN_MISMATCH,
            f"predict and infer wrote different arrays ({', '.join(odd)[:100] or 'none'}).",
        )
    count = beyond = 0
    largest = 0.0
    where = ""
    for name in sorted(predicted):
        a, b = (np.asarray(one[name], dtype=np.float64) for one in (predicted, inferred))
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise Failed(
                Reason.CHAIN_MISMATCH,
                f"{name[:60]!r}: predict gave {a.shape} and infer {b.shape}, all of which should be finite.",
            )
        if a.size == 0:
            continue
        difference = np.abs(a - b)
        allowed = ABSOLUTE + RELATIVE * np.abs(a).max()
        count, beyond = count + a.size, beyond + int((difference > allowed).sum())
        if difference.max() >= largest:
            where, largest = name, float(difference.max())
    if count == 0:
        raise Failed(Reason.CHAIN_MISMATCH, "predict and infer wrote no number.")
    return Comparison(count, beyond, largest, where)
