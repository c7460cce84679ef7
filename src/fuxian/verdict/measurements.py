"""Measurements: the figure of each run and what its units contributed, in ``measurements.json`` and beside it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fuxian.errors import InputError
from fuxian.metrics import Units
from fuxian.paper import Claim

LARGEST = 1e100
"""A figure beyond this has diverged as much as an infinite one; its square is still a number."""


@dataclass(frozen=True)
class Run:
    """One trained model's figure. A value that is not finite (or beyond 1e100) says that the run failed."""

    seed: int
    value: float
    examples: tuple[float, ...] | None = None
    """Where the figure is a mean: the figure per unit (test task, image); their mean is ``value``."""
    units: Units | None = None
    """Where it is none: what each unit contributed; the figure of all of them is ``value``."""

    @property
    def failed(self) -> bool:
        """Whether a figure of it is not finite, or beyond all measure."""
        return not all(usable(figure) for figure in (self.value, *(self.examples or ())))

    def recomputed(self) -> float | None:
        """The figure that examples or units give; None where there are neither."""
        if self.units is not None:
            return self.units.figure()
        return None if self.examples is None else float(np.mean(self.examples))


@dataclass(frozen=True)
class Measurements:
    """What was measured for one claim."""

    runs: tuple[Run, ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON; a figure that is not finite becomes None. Of units it has all but their arrays."""
        return {"runs": [_as_dict(run) for run in self.runs]}

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of all units, as ``<seed>/<name>``."""
        return {
            f"{run.seed}/{name}": np.ascontiguousarray(array)
            for run in self.runs
            if run.units is not None
            for name, array in run.units.arrays.items()
        }

    @classmethod
    def from_dict(cls, data: Any, arrays: Mapping[str, np.ndarray] | None = None) -> Measurements:
        """The inverse of ``as_dict`` and ``arrays``; other keys are left alone.

        Raises InputError for anything malformed, and for units without their arrays.
        """
        try:
            return cls(tuple(_run(run, arrays or {}) for run in data["runs"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"the measurements are malformed ({type(error).__name__}: {error}); give"
                ' {"runs": [{"seed": 0, "value": 0.5, "examples": [0.5, ...] or null}, ...]}.'
            ) from error


def measured_run(claim: Claim, seed: int, figures: Mapping[str, float], units: Mapping[str, Units]) -> Run:
    """A Run from what a Metric's ``figures()`` and ``units()`` returned.

    Raises InputError when the claim's metric is not among the figures.
    """
    if claim.metric not in figures:
        known = ", ".join(figures) or "nothing"
        raise InputError(
            f"claim {claim.id!r} is about the metric {claim.metric!r} and the recipe's metric computes"
            f" {known}; name one of these in the claim."
        )
    run, kept = Run(seed, float(figures[claim.metric])), units.get(claim.metric)
    if kept is not None and kept.kind == "mean":
        return replace(run, examples=tuple(kept.arrays["value"].tolist()))
    return replace(run, units=kept)


def write_measurements(
    file: Path, measurements: Measurements, about: Mapping[str, Any] | None = None
) -> None:
    """Writes a measurements.json that begins with ``about`` and, where runs have units, the arrays beside it.

    They lie in ``<stem>.safetensors``, which the JSON names with its sha256. Each file is written whole or not at all.
    """
    document = {**(about or {}), **measurements.as_dict()}
    arrays = measurements.arrays()
    if arrays:
        content = save(arrays)
        beside = file.with_suffix(".safetensors")
        _write(beside, content)
        document["arrays"] = {"file": beside.name, "sha256": hashlib.sha256(content).hexdigest()}
    _write(file, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def read_measurements(file: Path) -> Measurements:
    """The measurements of a measurements.json, with the arrays beside it where it names some.

    Raises InputError where they cannot be read, or the arrays are not those that were written with it.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); evaluate first.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: this is not JSON; evaluate again.") from error
    named = document.get("arrays") if isinstance(document, dict) else None
    if named is None:
        return Measurements.from_dict(document)
    beside = file.with_suffix(".safetensors")
    if not beside.is_file():
        raise InputError(f"{beside}: is missing; keep it beside {file.name}.")
    digest = hashlib.sha256(beside.read_bytes()).hexdigest()
    arrays = _read_arrays(beside)
    if not isinstance(named, dict) or named.get("sha256") != digest:
        raise InputError(
            f"{beside}: these are not the arrays that {file.name} was written with; evaluate again."
        )
    return Measurements.from_dict(document, arrays)


def _read_arrays(beside: Path) -> dict[str, np.ndarray]:
    try:
        return load(beside.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{beside}: this is not a safetensors file; evaluate again.") from error


def usable(figure: float) -> bool:
    """Whether a figure is one to reckon with: finite, and not beyond all measure."""
    return abs(figure) <= LARGEST  # false for NaN


def _as_dict(run: Run) -> dict[str, Any]:
    examples = None if run.examples is None else [_finite(value) for value in run.examples]
    found: dict[str, Any] = {"seed": run.seed, "value": _finite(run.value), "examples": examples}
    if run.units is not None:
        found["units"] = {
            "kind": run.units.kind,
            "n": run.units.n,
            "settings": dict(run.units.settings),
            "arrays": list(run.units.arrays),
        }
    return found


def _run(data: Any, arrays: Mapping[str, np.ndarray]) -> Run:
    seed, examples, units = data["seed"], data.get("examples"), data.get("units")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed {seed!r:.40} is not an integer")
    if examples is not None and not isinstance(examples, list):
        raise TypeError("examples are not a list")
    return Run(
        seed,
        _number(data["value"]),
        None if examples is None else tuple(_number(x) for x in examples),
        None if units is None else _units(units, seed, arrays),
    )


def _units(data: Any, seed: int, arrays: Mapping[str, np.ndarray]) -> Units:
    kind, n, settings, names = data["kind"], data["n"], data["settings"], data["arrays"]
    if isinstance(n, bool) or not isinstance(n, int) or not isinstance(settings, dict):
        raise TypeError("units are not described by a number n and settings")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("the arrays of units are not a list of names")
    if any(f"{seed}/{name}" not in arrays for name in names):
        raise InputError(
            f"the arrays of seed {seed}'s units are missing; keep the measurements' .safetensors beside the .json."
        )
    return Units(str(kind), n, {name: arrays[f"{seed}/{name}"] for name in names}, settings)


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None


def _number(figure: Any) -> float:
    if figure is None:
        return math.nan
    if isinstance(figure, bool) or not isinstance(figure, (int, float)):
        raise TypeError(f"{figure!r:.40} is not a number")
    return float(figure)


def _write(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.draft")
    draft.write_bytes(content)
    draft.replace(file)
