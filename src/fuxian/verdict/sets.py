"""Bounds of figures that are no means over units: each from what a simulation found to err least.

====================  ==========================================================================================
average precision     delete-a-group jackknife over 20 groups of images, logit scale, t with 19 degrees of freedom
                      (errs more on few images: over 100 with a rare class, 11 % in place of 5 %)
ratio of sums         delete-one jackknife over units, logit scale where the ratio lies between 0 and 1, t
area under the curve  delete-a-group jackknife over 20 groups of users, t
accuracy over folds   delete-one-fold jackknife, logit scale, t; errs up to 8 % where folds differ in difficulty
true accept rate      the threshold by order statistics of the impostors, the genuine pairs by Clopper and Pearson,
                      joined by their squares; none where the impostor pairs are too few to show the rate
====================  ==========================================================================================

Jackknife: Quenouille 1956, Tukey 1958; groups: Kott 2001. Percentile and BCa bootstraps erred more in each case.
``benchmarks/verdict_error_rates.py`` prints how often these bounds are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fuxian.metrics import Units, average_precision, fold_accuracy, ranking, ratio, true_accept_rate
from fuxian.verdict.sample import Bounds, binomial_bounds, t_bounds

GROUPS = 20


@dataclass(frozen=True)
class SetFigure:
    """A figure of a set with its bounds; ``unknown`` says why there are none, where there are none."""

    value: float
    method: str = "none"
    unknown: str = ""
    bounds: Callable[[float], Bounds] | None = None
    """The one-sided bounds, each at the confidence that is asked for; it may raise Unseen."""


class Unseen(Exception):
    """These units cannot show a bound at that confidence; the message says why."""


def set_figure(units: Units) -> SetFigure:
    """The figure of all units and its bounds."""
    return _BY_KIND[units.kind](units)


def _by_groups(units: Units, logit: bool, what: str, count: int = GROUPS) -> SetFigure:
    groups = min(count, units.n)
    value = units.figure()
    if groups < 3:
        return SetFigure(value, unknown=f"{units.n} {what} are too few; evaluate on more")
    # Units next to each other are often alike (one video, one page): each group takes every 20th.
    group = np.arange(units.n) % groups
    left = units.figures([np.flatnonzero(group != number) for number in range(groups)])
    many = f"{groups} groups of {what}" if groups < units.n else f"{what}"
    return _jackknife(value, np.array(left), logit, f"jackknife over {many}")


def _jackknife(value: float, left: np.ndarray, logit: bool, method: str) -> SetFigure:
    """``left``: the figure without each group."""
    if not np.isfinite(left).all():
        return SetFigure(value, unknown="without some of the units there is no figure; evaluate on more")
    if logit and not (0 < value < 1 and left.min() > 0 and left.max() < 1):
        return SetFigure(value, unknown="the figure is at the end of its range; evaluate on more")
    scale = _logit if logit else _same
    moved = scale(left)
    count = len(left)
    error = math.sqrt((count - 1) / count * float(np.square(moved - moved.mean()).sum()))
    if error <= 1e-12 * max(1.0, abs(float(scale(value)))):
        return SetFigure(value, unknown="the units do not differ; evaluate on more")

    def bounds(confidence: float) -> Bounds:
        low, high = t_bounds(float(scale(value)), error, count - 1, confidence)
        return (_expit(low), _expit(high)) if logit else (low, high)

    return SetFigure(value, f"{method}, {'logit scale, ' if logit else ''}t", bounds=bounds)


def _ratio(units: Units) -> SetFigure:
    above, below = (units.arrays[name].astype(np.float64) for name in ("above", "below"))
    value = units.figure()
    if units.n < 3:
        return SetFigure(value, unknown=f"{units.n} units are too few; evaluate on more")
    if not math.isfinite(value):
        return SetFigure(value, unknown="there is no figure")
    left = ratio.of_totals(above.sum(0) - above, below.sum(0) - below)
    return _jackknife(value, left, 0 <= value <= 1 and bool((above <= below).all()), "jackknife over units")


def _true_accept_rate(units: Units) -> SetFigure:
    score, same = units.arrays["score"], units.arrays["same"].astype(bool)
    far = float(units.settings["far"])
    value = units.figure()
    if not math.isfinite(value):
        return SetFigure(
            value, unknown="there are no genuine or no impostor pairs, or scores that are no numbers"
        )
    genuine, impostor = score[same], np.sort(score[~same])[::-1]

    def accepted(threshold: float) -> int:
        return int((genuine > threshold).sum())

    def bounds(confidence: float) -> Bounds:
        from scipy.stats import binom

        # The true threshold has Binomial(N, far) impostors above it: the j-th highest score lies beyond it, but for
        # 1 - confidence, where j - 1 is below that binomial's quantile.
        within = binom.cdf(np.arange(len(impostor)), len(impostor), far)
        strict = int(np.searchsorted(within, 1 - confidence, side="right")) - 1
        loose = int(np.searchsorted(within, confidence))
        if strict < 0 or loose >= len(impostor):
            needed = math.ceil(math.log(1 - confidence) / math.log1p(-far))
            raise Unseen(
                f"{len(impostor)} impostor pairs cannot show a false accept rate of {far:g}; at least {needed} can"
            )
        low, high = binomial_bounds(
            accepted(true_accept_rate.threshold(impostor, far)), len(genuine), confidence
        )
        lowest, highest = (accepted(impostor[place]) / len(genuine) for place in (strict, loose))
        return (
            max(0.0, value - math.hypot(value - low, value - lowest)),
            min(1.0, value + math.hypot(high - value, highest - value)),
        )

    return SetFigure(
        value, "order statistics of the impostors, joined with Clopper and Pearson's bounds", bounds=bounds
    )


_BY_KIND: dict[str, Callable[[Units], SetFigure]] = {
    average_precision.KIND: lambda units: _by_groups(units, logit=True, what="images"),
    ranking.KIND: lambda units: _by_groups(units, logit=False, what="users"),
    fold_accuracy.KIND: lambda units: _by_groups(units, logit=True, what="folds", count=units.n),
    ratio.KIND: _ratio,
    true_accept_rate.KIND: _true_accept_rate,
}


def _logit(x: np.ndarray | float) -> np.ndarray:
    return np.log(x) - np.log1p(-np.asarray(x))


def _same(x: np.ndarray | float) -> np.ndarray:
    return np.asarray(x)


def _expit(x: float) -> float:
    from scipy.special import expit

    return float(expit(x))
