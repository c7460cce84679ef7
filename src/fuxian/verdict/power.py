"""Planned power: the chance that a faithful port is accepted, computed before anything is trained.

A claim that would accept a faithful port in fewer than 80 % of cases is likely to end inconclusive: it wants more seeds
or examples, or a wider margin if there is a reason for one. Never change either after the port was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fuxian.paper import NO_REASON, Claim
from fuxian.verdict.ruling import ALPHA
from fuxian.verdict.sample import Sample, binomial_bounds

ENOUGH = 0.8


@dataclass(frozen=True)
class Plan:
    """What can be expected of a ruling before it."""

    power: float | None
    """The chance that a port exactly as good as the target is accepted; None where the spread is unknown."""
    basis: str
    """What it was computed from, or why it could not be."""
    warnings: tuple[str, ...]


def planned(claim: Claim, *, seeds: int | None = None, alpha: float = ALPHA) -> Plan:
    """The power of a claim's ruling with its own seeds, or with so many."""
    n = len(claim.seeds) if seeds is None else seeds
    power, basis = (
        _of_procedure(claim, n, alpha) if claim.subject == "procedure" else _of_weights(claim, alpha)
    )
    warnings = []
    if claim.margin_reason == NO_REASON:
        warnings.append("the margin has no reason: say why in margin_reason, before training")
    if power is not None and power < ENOUGH:
        more = "seeds" if claim.subject == "procedure" else "test examples"
        warnings.append(
            f"a faithful port is accepted in {power:.0%} of cases only: plan more {more}, or a wider margin if there"
            " is a reason for one"
        )
    if claim.subject == "procedure" and claim.target is None and claim.reference is not None:
        runs = len(claim.reference.sample)
        if n < runs:
            warnings.append(
                f"nothing is accepted on {n} seed{'s' * (n > 1)} against {runs} reference runs: plan {runs}"
            )
    return Plan(power, basis, tuple(warnings))


def _of_procedure(claim: Claim, n: int, alpha: float) -> tuple[float | None, str]:
    from scipy.special import nctdtr, stdtrit

    if claim.reference is None:
        return None, "unknown: no recorded reference runs show how far seeds spread"
    runs = Sample.of(claim.reference.sample)
    if runs.spread == 0:
        return None, "unknown: the reference runs do not differ"
    own = runs.spread / math.sqrt(n)
    if claim.target is None:
        error, freedom = math.hypot(own, runs.error), n + runs.n - 2 if n > 1 else runs.n - 1
    else:
        error, freedom = math.hypot(own, _published_error(claim)), n - 1 if n > 1 else runs.n - 1
    shift, needed = claim.margin / error, float(stdtrit(freedom, 1 - alpha))
    return (
        1 - float(nctdtr(freedom, shift, needed)),
        f"{n} {'seed that spreads' if n == 1 else 'seeds that spread'} like the {runs.n} reference runs (standard"
        f" deviation {claim.show(runs.spread)})",
    )


def _of_weights(claim: Claim, alpha: float) -> tuple[float | None, str]:
    from scipy.special import ndtr, ndtri
    from scipy.stats import binom

    if claim.published is not None and claim.published.half_width is not None:
        own = claim.published.half_width / 1.96
        shift = claim.margin / math.hypot(own, _published_error(claim))
        return float(
            ndtr(shift - ndtri(1 - alpha))
        ), "a test as large as the paper's, whose half-width is printed"
    n, target = claim.examples, claim.target
    if n is None or target is None or claim.unit != "accuracy":
        return (
            None,
            "unknown: the claim says neither a published half_width nor, for an accuracy, its test examples",
        )
    edge = target - claim.margin if claim.direction == "higher" else 1 - target - claim.margin
    faithful = target if claim.direction == "higher" else 1 - target
    least, most = 0, n + 1
    while least < most:
        middle = (least + most) // 2
        if binomial_bounds(middle, n, 1 - alpha)[0] > edge:
            most = middle
        else:
            least = middle + 1
    return float(binom.sf(least - 1, n, faithful)), f"{n} test examples, right or wrong"


def _published_error(claim: Claim) -> float:
    if claim.compared_with != "estimate" or claim.published is None or claim.published.half_width is None:
        return 0.0
    return claim.published.half_width / 1.96
