"""Why two learning rate schedules differ: from the two series of rates alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fuxian.align.diagnose.evidence import Hypothesis, best
from fuxian.align.divergence import Diagnosis, Divergence

Tried = Callable[..., Hypothesis]
SAME = 1e-4
"""Relative difference up to which two rates are the same."""
COARSE = 0.02
"""Share of the highest rate by which two curves of a few steps may differ once one is stretched to the other."""


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of two series of rates that differ."""
    facts = divergence.facts
    port, reference = facts.get("port_series"), facts.get("reference_series")
    every = facts.get("schedule_every")
    if every is not None and every[0] != every[1]:
        evidence = f"the port steps its schedule every {every[0]}, the reference every {every[1]}"
        return Diagnosis("schedule_unit", evidence)
    if port is None or reference is None:
        return None
    port, reference = np.asarray(port, float), np.asarray(reference, float)
    chosen = best(_hypotheses(port, reference))
    longer = _other_length(port, reference) if chosen is None else None
    if longer is not None:
        return longer
    if chosen is None and divergence.place != "optimizer" and _constant_ratio(port, reference) is not None:
        return Diagnosis("learning_rate", "only this group's rate is another one")
    if chosen is None:
        step = facts.get("step", 0)
        evidence = f"from step {step} on, the rates follow another curve ({port[step]:.6g} for {reference[step]:.6g})"
        return Diagnosis("schedule_kind", evidence)
    return Diagnosis(chosen.cause, chosen.sentence)


def _apart(one: np.ndarray, two: np.ndarray) -> float:
    peak = float(np.abs(two).max()) or 1.0
    return float((np.abs(one - two) / np.maximum(np.maximum(np.abs(one), np.abs(two)), 1e-6 * peak)).max())


def _constant_ratio(port: np.ndarray, reference: np.ndarray) -> float | None:
    used = (port != 0) & (reference != 0)
    if not used.any() or ((port == 0) != (reference == 0)).any():
        return None
    ratio = reference[used] / port[used]
    return float(np.median(ratio)) if np.ptp(ratio) <= SAME * abs(np.median(ratio)) else None


def _hypotheses(port: np.ndarray, reference: np.ndarray) -> Iterator[Hypothesis]:
    before = _apart(port, reference)

    def tried(cause: str, change: str, made: np.ndarray, wanted: np.ndarray, cost: int = 1) -> Hypothesis:
        after = _apart(made, wanted) if made.size >= 3 else float("inf")
        return Hypothesis(cause, change, before, after, cost)

    ratio = _constant_ratio(port, reference)
    if ratio is not None:
        yield tried("learning_rate", f"with a rate {ratio:.6g} times as large", port * ratio, reference, 0)
    warm = max(_warm_up(port), _warm_up(reference))
    shape = "warmup" if warm else "schedule_length"
    for shift in (1, 2, -1, -2):
        a, b = (port[:-shift], reference[shift:]) if shift > 0 else (port[-shift:], reference[:shift])
        word = "later" if shift > 0 else "earlier"
        if not warm and _steps(port) and _steps(reference):
            continue
        yield tried(shape, f"counted {abs(shift)} step {word}", a, b)
    yield from _decays(port, reference, tried)
    yield from _lengths(port, reference)
    yield from _warm_ups(port, reference, tried)


def _steps(series: np.ndarray) -> bool:
    """Whether the rate is constant but for a few jumps."""
    changes = np.abs(np.diff(series)) > SAME * np.abs(series).max()
    return bool(changes.sum() <= max(3, 0.6 * len(changes))) and bool(changes.any())


def _warm_up(series: np.ndarray) -> int:
    """Steps until the rate falls for the first time, where it rises first."""
    changes = np.diff(series)
    moves = changes[np.abs(changes) > SAME * np.abs(series).max()]
    rises = changes > SAME * np.abs(series).max()
    if not moves.size or moves[0] < 0:
        return 0
    return int(np.argmax(series)) if (np.diff(series) < 0).any() else int(rises.sum())


def _jumps(series: np.ndarray) -> list[tuple[int, float]]:
    """Steps where the rate changes, with the factor."""
    places = np.flatnonzero(np.abs(np.diff(series)) > SAME * np.maximum(np.abs(series[:-1]), 1e-300)) + 1
    return [(int(i), float(series[i] / series[i - 1])) for i in places if series[i - 1]]


def _decays(port: np.ndarray, reference: np.ndarray, tried: Tried) -> Iterator[Hypothesis]:
    """Decay by a constant factor, each step or at milestones."""
    ours, theirs = _jumps(port), _jumps(reference)
    if not ours or not theirs:
        return
    factors = [np.array([factor for _, factor in jumps]) for jumps in (ours, theirs)]
    constant = [np.ptp(f) <= 1e-3 * abs(np.median(f)) for f in factors]
    gamma = float(np.median(factors[1]))
    count = min(len(ours), len(theirs))
    same_places = [i for i, _ in ours][:count] == [i for i, _ in theirs][:count]
    if all(constant) and same_places and abs(gamma - np.median(factors[0])) > 1e-3 * abs(gamma):
        made = np.full_like(reference, port[0])
        for i, _ in ours:
            made[i:] *= gamma
        yield tried("schedule_gamma", f"with a decay factor of {gamma:.6g}", made, reference, 0)
    if all(constant) and abs(gamma - np.median(factors[0])) <= 1e-3 * abs(gamma):
        made = np.full_like(reference, port[0])
        for i, _ in theirs:
            made[i:] *= float(np.median(factors[0]))
        shown = ", ".join(str(i) for i, _ in theirs[:4])
        yield tried("schedule_length", f"with the port's factor at steps {shown}", made, reference, 0)


def _shares(port: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Both series from where they begin to fall, as shares of their rates there."""
    warm = max(_warm_up(port), _warm_up(reference))
    one, two = (series[int(np.argmax(series)) if warm else 0 :] for series in (port, reference))
    if not one[0] or not two[0] or len(one) < 4 or len(two) < 4:
        return None
    return one / one[0], two / two[0]


def _stretched(port: np.ndarray, reference: np.ndarray) -> Hypothesis | None:
    """The same falling curve over another number of steps."""
    shares = _shares(port, reference)
    if shares is None:
        return None
    a, b = (series[: _falling(series) + 1] for series in shares)
    if len(a) < 3 or len(b) < 3 or len(a) == len(b):
        return None
    made = np.interp(np.linspace(0, 1, len(b)), np.linspace(0, 1, len(a)), a)
    change = f"as shares of the highest rate, stretched from {len(a) - 1} to {len(b) - 1} steps,"
    return Hypothesis("schedule_length", change, _distance(*shares), _distance(made, b))


def _other_length(port: np.ndarray, reference: np.ndarray) -> Diagnosis | None:
    """Another length of the curve or of the warm-up, where the steps are too few to show it closely."""
    stretched = _stretched(port, reference)
    if stretched is not None and stretched.after < min(COARSE, stretched.before):
        return Diagnosis(stretched.cause, stretched.sentence)
    lengths = _warm_up(port), _warm_up(reference)
    if lengths[0] != lengths[1]:
        evidence = f"the port's rates rise for {lengths[0]} steps, the reference's for {lengths[1]}"
        return Diagnosis("warmup", evidence)
    return None


def _lengths(port: np.ndarray, reference: np.ndarray) -> Iterator[Hypothesis]:
    """The same curve, stretched, raised to a power, or with another lowest rate."""
    shares = _shares(port, reference)
    if shares is None:
        return
    stretched = _stretched(port, reference)
    if stretched is not None:
        yield stretched
    one, two = shares
    a, b = (series[: _falling(series) + 1] for series in shares)
    if len(a) >= 3 and len(b) >= 3:
        inside = slice(1, min(len(a), len(b)) - 1)
        x, y = a[inside], b[inside]
        inner = (x > 1e-9) & (y > 1e-9) & (x < 1 - 1e-9)
        if inner.sum() >= 3:
            powers = np.log(y[inner]) / np.log(x[inner])
            if np.ptp(powers) <= 1e-3 * abs(np.median(powers)):
                power = float(np.median(powers))
                x, y = x[inner], y[inner]
                change = f"as a share of the highest rate, raised to the power {power:.4g},"
                yield Hypothesis("schedule_gamma", change, _apart(x, y), _apart(x**power, y))
    n = min(len(one), len(two))
    varies = np.ptp(one[:n]) > SAME
    if varies:
        slope, offset = np.polyfit(one[:n], two[:n], 1)
        lowest = float(reference.min())
        change = f"scaled and shifted so that {lowest:.4g} is the lowest rate,"
        made = slope * one[:n] + offset
        yield Hypothesis("schedule_kind", change, _apart(one[:n], two[:n]), _apart(made, two[:n]), 2)


def _falling(series: np.ndarray) -> int:
    """Steps until the rate stops falling."""
    stops = np.flatnonzero(np.diff(series) >= -1e-12)
    return int(stops[0]) if stops.size else len(series) - 1


def _distance(one: np.ndarray, two: np.ndarray) -> float:
    n = min(len(one), len(two))
    return float(np.abs(one[:n] - two[:n]).max())


def _warm_ups(port: np.ndarray, reference: np.ndarray, tried: Tried) -> Iterator[Hypothesis]:
    """Another warm-up: the rates agree after it, or after it was cut off on both sides."""
    lengths = _warm_up(port), _warm_up(reference)
    if not any(lengths):
        return
    longest = max(lengths)
    after_warm = port[longest:], reference[longest:]
    if len(after_warm[0]) >= 3 and _apart(*after_warm) <= SAME:
        yield tried("warmup", f"but for the first {longest} steps", after_warm[0], after_warm[1])
