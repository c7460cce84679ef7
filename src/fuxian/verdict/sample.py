"""Bounds of a mean from a sample of it. One-sided, each at the confidence that is asked for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Bounds = tuple[float, float]
SAME = 1e-12
"""Two figures are the same when they differ by less than this, relative to the largest figure at hand."""
FEWEST = 5
"""With fewer values that differ from the most common one, their spread is not known: of test tasks near a perfect
score whose queries fail together, the bound that corrects for skewness let 12 % pass in place of 5 %; from five
on, 6 %."""


@dataclass(frozen=True)
class Sample:
    """Sufficient statistics. A spread of 0 means that none was seen, n = 1 included."""

    n: int
    mean: float
    spread: float
    """Standard deviation, n - 1 in the denominator."""
    skewness: float
    others: int = 0
    """How many values differ from the most common one."""
    ends: Bounds | None = None
    """The least and the greatest value where there are two alone."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        n = len(values)
        # fsum rounds once: neither the order of the values nor their common sign changes a digit
        mean = math.fsum(values) / n
        deviations = [value - mean for value in values]
        second = math.fsum(deviation**2 for deviation in deviations) / n
        if second == 0 or max(values) - min(values) <= SAME * max(map(abs, values)):
            return cls(n, mean, 0.0, 0.0)
        root = math.sqrt(second)
        skewness = math.fsum((deviation / root) ** 3 for deviation in deviations) / n
        counts = Counter(values)
        ends = (min(counts), max(counts)) if len(counts) == 2 else None
        others = n - counts.most_common(1)[0][1]
        return cls(n, mean, root * math.sqrt(n / (n - 1)), skewness, others, ends)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.spread / math.sqrt(self.n)


def t_bounds(mean: float, error: float, freedom: float, confidence: float) -> Bounds:
    """Bounds of a mean with standard error ``error`` (Student 1908)."""
    from scipy.special import stdtrit

    width = float(stdtrit(freedom, confidence)) * error
    return mean - width, mean + width


def skew_bounds(sample: Sample, n: int, confidence: float) -> Bounds:
    """Bounds of the mean of n values like the sample's, corrected for skewness.

    Hall (1992), "On the removal of skewness by transformation", J. R. Statist. Soc. B 54: the t statistic T
    is replaced by g(T) = T + k T^2 + k^2 T^3 / 3 + skewness / (6 sqrt n), k = skewness / (3 sqrt n), which is
    monotone; its inverse at the t quantile gives the bound.
    """
    from scipy.special import stdtrit

    quantile = float(stdtrit(n - 1, confidence))
    k = sample.skewness / (3 * math.sqrt(n))

    def inverse(x: float) -> float:
        shifted = x - k / 2
        # below this the cube root loses more digits than the correction has
        return shifted if abs(k) < 1e-7 else (float(np.cbrt(1 + 3 * k * shifted)) - 1) / k

    error = sample.spread / math.sqrt(n)
    return sample.mean - error * inverse(quantile), sample.mean - error * inverse(-quantile)


def binomial_bounds(right: float, n: float, confidence: float) -> Bounds:
    """Bounds of a share of which ``right`` of n examples were seen (Clopper and Pearson 1934).

    ``right`` may be a sum of shares: no distribution between 0 and 1 spreads further than 0 and 1 alone with its mean.
    A greater ``right`` never gives a lower bound.
    """
    from scipy.special import betaincinv

    low = 0.0 if right <= 0 else float(betaincinv(right, n - right + 1, 1 - confidence))
    high = 1.0 if right >= n else float(betaincinv(right + 1, n - right, confidence))
    return low, high


def scaled_binomial_bounds(mean: float, n: float, ends: Bounds, confidence: float) -> Bounds:
    """The same for a mean of values between two ends."""
    low, high = ends
    share = min(max((mean - low) / (high - low), 0.0), 1.0)
    bounds = binomial_bounds(share * n, n, confidence)
    return low + bounds[0] * (high - low), low + bounds[1] * (high - low)


def unseen_share(n: int, confidence: float) -> float:
    """The share of examples that may look otherwise when none of n did ("rule of three": 3/n at 95 %)."""
    return 1 - (1 - confidence) ** (1 / n)


def worst_case_bounds(value: float, n: int, limits: Bounds, confidence: float) -> Bounds:
    """Bounds of a mean when n examples all had the same value: the unseen share may lie at a limit."""
    unseen = unseen_share(n, confidence)
    return value - unseen * (value - limits[0]), value + unseen * (limits[1] - value)


def joined(value: float, bounds: Bounds, rival: float, rival_bounds: Bounds) -> Bounds:
    """Bounds of value - rival, two independent figures with their own (Zou and Donner 2008)."""
    difference = value - rival
    return (
        difference - math.hypot(value - bounds[0], rival_bounds[1] - rival),
        difference + math.hypot(bounds[1] - value, rival - rival_bounds[0]),
    )
