"""Running variances of torch's as Paddle would have kept them: of the biased batch variance, (n - 1) / n of torch's.

A variance is c of its initial value and the batches' in torch's convention. How many elements n each batch norm
averaged over is recorded for every step. Where a step takes in several batches their factors differ, and the sum lies
between two values: the one nearer to the port's is taken. A port that keeps torch's convention is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fuxian.align.recording import Recording

if TYPE_CHECKING:
    from fuxian.align.stages import Pair

Counts = Sequence[Sequence[float]]
"""How many elements a norm averaged over: step by step, run by run."""


class _Corrected:
    """The reference's recording with other running variances."""

    def __init__(self, recording: Recording, arrays: dict[str, np.ndarray]) -> None:
        self._recording = recording
        self._arrays = arrays

    def get(self, name: str) -> np.ndarray:
        return self._arrays[name] if name in self._arrays else self._recording.get(name)

    def kept(self, name: str) -> bool:
        return name in self._arrays or self._recording.kept(name)

    def __contains__(self, name: str) -> bool:
        return name in self._recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recording, name)


@dataclass
class _Variance:
    """One running variance: name, what it started from, what both sides had in the end, and its norm's momentum."""

    name: str
    full: str
    initial: np.ndarray
    theirs: np.ndarray
    port: np.ndarray
    momentum: float
    counts: Counts


def of_pass(both: Pair) -> Pair:
    """The pair after one pass in training mode."""
    counts = {name: [runs] for name, runs in _runs(both).items()}
    arrays = {}
    for v in _found(both, "train/buffers/", counts, moved=False):
        kept = v.initial * (1.0 - v.momentum) ** len(v.counts[0])
        arrays[v.full] = _nearest(v.port, [kept + (v.theirs - kept) * f for f in _factors(v.counts)])
    return _with(both, arrays)


def of_step(both: Pair, step: int) -> Pair:
    """The pair after a training step, its buffers counted from where they started."""
    arrays = {}
    for v in _found(both, f"steps/{step}/buffers/", _steps(both), moved=True):
        series = [_step_value(both, v, i) for i in range(step + 1)]
        if len(v.counts) <= step or any(value is None for value in series):
            continue
        before, low, high = v.initial, v.initial, v.initial
        for now, runs in zip(series, v.counts, strict=False):
            assert now is not None  # noqa: S101
            kept = (1.0 - v.momentum) ** len(runs)
            added = [(now - kept * before) * f for f in _factors([runs])]
            low, high = kept * low + np.minimum.reduce(added), kept * high + np.maximum.reduce(added)
            before = now
        arrays[v.full] = _nearest(v.port, [low, high]) - v.initial
    return _with(both, arrays)


def of_average(both: Pair, step: int) -> Pair:
    """The pair after a training step, in the copy that is evaluated. How much of a variance's initial value is left in
    it depends on the recipe's own code, and is read off the port: one number for all of them."""
    found = _found(both, f"steps/{step}/evaluated/", _steps(both), moved=True)
    share = _initial_share(found)
    arrays = {}
    for v in found:
        kept = v.initial * share
        made = [kept + (v.theirs - kept) * f for f in _factors(v.counts)]
        arrays[v.full] = _nearest(v.port, made) - v.initial
    return _with(both, arrays)


def _with(both: Pair, arrays: dict[str, np.ndarray]) -> Pair:
    return replace(both, reference=_Corrected(both.reference, arrays))  # type: ignore[arg-type]


def _factors(counts: Counts) -> list[float]:
    """The smallest and the largest of (n - 1) / n."""
    runs = [n for step in counts for n in step if n > 1]
    return [(n - 1) / n for n in (min(runs), max(runs))] if runs else [1.0]


def _nearest(port: np.ndarray, made: list[np.ndarray]) -> np.ndarray:
    return np.clip(port, np.minimum.reduce(made), np.maximum.reduce(made))


def _step_value(both: Pair, v: _Variance, step: int) -> np.ndarray | None:
    full = f"steps/{step}/buffers/{v.name}"
    if full not in both.reference or not both.reference.kept(full):
        return None
    return both.reference.get(full).astype(np.float64) + v.initial


def _found(both: Pair, prefix: str, counts: Mapping[str, Counts], *, moved: bool) -> list[_Variance]:
    """The reference's running variances that differ from the port's."""
    if both.reference.framework != "torch" or both.port.framework != "paddle":
        return []
    settings = {module["path"]: module["settings"] for module in both.reference.data["modules"]}
    found = []
    for name in both.reference.names(prefix):
        ours = both.links.port_names(name)
        momentum = settings.get(name.rpartition(".")[0], {}).get("momentum")
        full = prefix + name
        if not name.endswith("running_var") or not ours or momentum is None or not both.reference.kept(full):
            continue
        mine = prefix + ours[0]
        if mine not in both.port or not both.port.kept(mine) or not counts.get(ours[0]):
            continue
        initial = both.reference.get(f"weights/{name}").astype(np.float64)
        theirs, port = (
            side.get(n).astype(np.float64) + (initial if moved else 0.0)
            for side, n in ((both.reference, full), (both.port, mine))
        )
        if theirs.shape == port.shape and not np.allclose(port, theirs, rtol=1e-9, atol=0):
            found.append(_Variance(name, full, initial, theirs, port, momentum, counts[ours[0]]))
    return found


def _initial_share(found: list[_Variance]) -> float:
    above, below = 0.0, 0.0
    for v in found:
        n = float(np.mean([count for step in v.counts for count in step]))
        above += float((v.initial * (n * (v.port - v.theirs) + v.theirs)).sum())
        below += float((v.initial**2).sum())
    return min(max(above / below, 0.0), 1.0) if below else 0.0


def _runs(both: Pair) -> dict[str, list[float]]:
    """For each variance of the port: what its norm averaged over in each run of the training pass."""
    found: dict[str, list[float]] = {}
    for call in both.port.data.get("trace", {}).get("train", {}).get("calls", ()):
        for name in call["inputs"]:
            if name.startswith("parameters.") and name.endswith("_variance"):
                shape = both.port.shape(f"train/values/{call['inputs'][0]}")
                channels = both.port.shape(f"weights/{name.removeprefix('parameters.')}")
                elements = float(np.prod(shape)) / max(1.0, float(np.prod(channels)))
                found.setdefault(name.removeprefix("parameters."), []).append(elements)
    return found


def _steps(both: Pair) -> dict[str, Counts]:
    """What each norm averaged over, step by step; what it was in the pass where nothing was recorded, because the norm
    is no module of Paddle's."""
    entry = both.port.stages.get("training_steps", {})
    recorded: dict[str, Counts] = entry.get("averaged_over", {})
    again = both.port.data["settings"]["accumulate"]
    return {
        name: recorded.get(name) or [runs * again] * entry.get("steps", 0)
        for name, runs in _runs(both).items()
    }
