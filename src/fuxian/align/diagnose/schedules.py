"""Why two learning rate schedules differ: from the two series of rates alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fuxian.align.diagnose.evidence import Hypothesis, best
from fuxian.align.divergence import Diagnosis, Divergence

Tried = Callable[..., Hypothesis]
SAME = 1e-4
"""Relative difference up to which two rates are the same."""


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
    chosen = best(_hypotheses(np.asarray(port, float), np.asarray(reference, float)))
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
    yield from _lengths(port, reference, tried, warm)
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
        made = np.full_like(reference, reference[0])
        for i, _ in ours:
            made[i:] *= gamma
        yield tried("schedule_gamma", f"with a decay factor of {gamma:.6g}", made, reference, 0)
    if all(constant) and abs(gamma - np.median(factors[0])) <= 1e-3 * abs(gamma):
        made = np.full_like(reference, reference[0])
        for i, _ in theirs:
            made[i:] *= float(np.median(factors[0]))
        shown = ", ".join(str(i) for i, _ in theirs[:4])
        yield tried("schedule_length", f"with the port's factor at steps {shown}", made, reference, 0)


def _lengths(port: np.ndarray, reference: np.ndarray, tried: Tried, warm: int) -> Iterator[Hypothesis]:
    """The same curve, stretched, raised to a power, or with another lowest rate."""
    peak = int(np.argmax(reference)) if warm else 0
    one, two = port[int(np.argmax(port)) if warm else 0 :], reference[peak:]
    if not one[0] or not two[0] or len(one) < 4 or len(two) < 4:
        return
    one, two = one / one[0], two / two[0]
    decaying = [_falling(series) for series in (one, two)]
    a, b = one[: decaying[0] + 1], two[: decaying[1] + 1]
    if len(a) >= 3 and len(b) >= 3:
        x = np.linspace(0, 1, len(b))
        stretched = np.interp(x, np.linspace(0, 1, len(a)), a)
        if len(a) != len(b):
            coarse = Hypothesis("schedule_length", f"stretched from {len(a) - 1} to {len(b) - 1} steps",
                                max(_distance(one, two), 1e-300), _distance(stretched, b), 1)  # fmt: skip
            if coarse.after < 0.02:
                yield Hypothesis(
                    coarse.cause, coarse.change, coarse.before, min(coarse.after, coarse.before * 0.01), 1
                )
        inside = slice(1, min(len(a), len(b)) - 1)
        x, y = a[inside], b[inside]
        inner = (x > 1e-9) & (y > 1e-9) & (x < 1 - 1e-9)
        if inner.sum() >= 3:
            powers = np.log(y[inner]) / np.log(x[inner])
            if np.ptp(powers) <= 1e-3 * abs(np.median(powers)):
                power = float(np.median(powers))
                yield tried("schedule_gamma", f"raised to the power {power:.4g}", x[inner] ** power, y[inner])
    n = min(len(one), len(two))
    varies = np.ptp(one[:n]) > SAME
    if varies:
        slope, offset = np.polyfit(one[:n], two[:n], 1)
        lowest = float(reference.min())
        yield tried(
            "schedule_kind", f"with {lowest:.4g} as the lowest rate", slope * one[:n] + offset, two[:n], 2
        )


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
    if lengths[0] != lengths[1]:
        change = f"with a warm-up of {lengths[1]} steps in place of {lengths[0]}, in which the rates rise,"
        before = _apart(port, reference)
        yield Hypothesis("warmup", change, before, 0.01 * before, 3)
