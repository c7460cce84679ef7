"""Why two learning rate schedules differ: from the two series of rates alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fuxian.align.diagnose.tried import Hypothesis, best
from fuxian.align.divergence import Diagnosis, Divergence

Tried = Callable[..., Hypothesis]
SAME = 1e-4
"""Relative difference up to which two rates are the same."""
ZERO = 1e-6
"""Share of the highest rate up to which a rate counts as zero."""
COARSE = 0.02
"""Share of the highest rate by which two curves of a few steps may differ once one is stretched to the other."""


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of two series of rates that differ."""
    facts = divergence.facts
    port, reference = facts.get("port_series"), facts.get("reference_series")
    every = facts.get("schedule_every")
    if every is not None and every[0] != every[1]:
        evidence = f"the port steps its schedule every {every[0]}, the reference every {every[1]}"
        return Diagnosis("schedule_unit", evidence, proven=True)
    if port is None or reference is None:
        return None
    port, reference = np.asarray(port, float), np.asarray(reference, float)
    ratio = _constant_ratio(port, reference)
    if ratio is not None:
        evidence = f"the port's rate is {1 / ratio:.6g} times the reference's at every step"
        return Diagnosis("learning_rate", evidence, proven=True)
    chosen = best(_hypotheses(port, reference))
    longer = _other_length(port, reference) if chosen is None else None
    if longer is not None:
        return longer
    if chosen is None:
        step = facts.get("step", 0)
        evidence = f"from step {step} on, the rates follow another curve ({port[step]:.6g} for {reference[step]:.6g})"
        return Diagnosis("schedule_kind", evidence)
    return chosen.diagnosis()


def _apart(one: np.ndarray, two: np.ndarray) -> float:
    peak = float(np.abs(two).max()) or 1.0
    return float((np.abs(one - two) / np.maximum(np.maximum(np.abs(one), np.abs(two)), 1e-6 * peak)).max())


def _constant_ratio(port: np.ndarray, reference: np.ndarray) -> float | None:
    """What the port's rates are multiplied by to give the reference's, where it is the same at every step."""
    zero = [np.abs(series) <= ZERO * np.abs(series).max() for series in (port, reference)]
    used = ~zero[0]
    if not used.any() or (zero[0] != zero[1]).any():
        return None
    ratio = reference[used] / port[used]
    return float(np.median(ratio)) if np.ptp(ratio) <= SAME * abs(np.median(ratio)) else None


def _hypotheses(port: np.ndarray, reference: np.ndarray) -> Iterator[Hypothesis]:
    before = _apart(port, reference)

    def tried(cause: str, change: str, made: np.ndarray, wanted: np.ndarray, cost: int = 1) -> Hypothesis:
        after = _apart(made, wanted) if made.size >= 3 else float("inf")
        return Hypothesis(cause, change, before, after, cost)

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
    rescaled = _rescaled(port, reference)
    if rescaled is not None:
        yield rescaled
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


def _turns(series: np.ndarray) -> np.ndarray:
    """Steps at which the rate begins to rise, to fall, or to stay."""
    changes = np.diff(series)
    directions = np.sign(np.where(np.abs(changes) <= ZERO * np.abs(series).max(), 0.0, changes))
    return np.flatnonzero(np.diff(directions)) + 1


def _scales(port: np.ndarray, reference: np.ndarray) -> Iterator[float]:
    """By what the reference's time may have to be multiplied to be the port's: from the turns of both, and from where
    the port has fallen as far as the reference."""
    for mine, other in zip(_turns(port)[:3], _turns(reference)[:3], strict=False):
        yield mine / other
    n = min(_falling(port), _falling(reference)) + 1
    if n >= 4:
        low = max(port[:n].min(), reference[:n].min())
        places = [int(np.argmax(series <= (series[0] + low) / 2)) for series in (port, reference)]
        if all(places):
            wanted = reference[places[1]]
            yield float(np.interp(-wanted, -port[:n], np.arange(n))) / places[1]


def _rescaled(port: np.ndarray, reference: np.ndarray) -> Hypothesis | None:
    """The same curve on another scale of time, whatever its form; the slower curve is read between its steps."""
    peak = float(np.abs(reference).max())
    tried = []
    for scale in {float(s) for s in _scales(port, reference) if np.isfinite(s) and s > 0 and s != 1}:
        coarse, fine = (reference, port) if scale > 1 else (port, reference)
        at = np.arange(len(coarse)) * max(scale, 1 / scale)
        at = at[at <= len(fine) - 1]
        if len(at) < 4:
            continue
        after = _distance(np.interp(at, np.arange(len(fine)), fine), coarse[: len(at)]) / peak
        change = f"with {scale:.4g} of the port's steps for each of the reference's"
        tried.append(Hypothesis("schedule_length", change, _distance(port, reference) / peak, after, 2))
    nearest = min(tried, key=lambda hypothesis: hypothesis.after, default=None)
    fits = nearest is not None and nearest.after <= min(COARSE, 0.1 * nearest.before)
    return nearest if fits else None


def _other_length(port: np.ndarray, reference: np.ndarray) -> Diagnosis | None:
    """Another length of the curve or of the warm-up, where the steps are too few to show it closely."""
    stretched = _stretched(port, reference)
    if stretched is not None and stretched.after < min(COARSE, stretched.before):
        return stretched.diagnosis()
    rescaled = _rescaled(port, reference)
    if rescaled is not None:
        return rescaled.diagnosis()
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
        made = slope * one[:n] + offset
        lowest = float(reference.min())
        starts = port[len(port) - len(one)], reference[len(reference) - len(two)]
        gain = slope * starts[1] / starts[0]
        unmoved = offset * starts[1] / (1 - gain) if gain != 1 else np.inf
        if -SAME * starts[1] <= unmoved <= min(lowest, port.min()) + SAME * starts[1]:
            cause, change = "learning_rate", f"with {starts[1]:.4g} as the highest rate, and the same lowest,"
        else:
            cause, change = "schedule_kind", f"scaled and shifted so that {lowest:.4g} is the lowest rate,"
        yield Hypothesis(cause, change, _apart(one[:n], two[:n]), _apart(made, two[:n]), 3)


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
