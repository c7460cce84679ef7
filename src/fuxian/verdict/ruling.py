"""Verdict: rules on a claim from measurements. Statistics only: no framework, no file, no randomness.

The question is non-inferiority (Blackwelder 1982): is the measured figure worse than the target by less than
a margin that was fixed before training? Let *gain* be measured minus target, its sign turned where lower is
better, so that a positive gain is always good. With one-sided 95 % confidence bounds of the true gain:

- **accepted** when the lower bound lies above -margin: a port that is worse than the target by the margin
  passes with a probability of at most 5 %;
- **rejected** when the upper bound lies below -margin;
- **inconclusive** otherwise, and then the verdict says how many more seeds or examples would decide if mean
  and spread stayed as they are. A bound that equals -margin (to 12 digits) is neither above nor below it.

Where the bounds come from:

=========================  ==================================================================================
weights                    the run's test examples are a sample: t interval of their mean, corrected for their
                           skewness (Hall 1992), for near a perfect score the plain interval is far too sure
weights, all alike         no spread was seen. With a range: at most the share 1 - 0.05^(1/n) of all examples
                           differs (Clopper and Pearson 1934; "rule of three", 3/n), and those as far as the
                           range lets them. Without a range: unknown
procedure, n >= 2 runs     the runs are a sample: t interval over seeds (Student 1908)
procedure, one run         the recorded reference runs lend their spread, with their degrees of freedom: the
                           prediction interval of one more run. Needs a port that spreads like the reference
procedure, all runs alike  tells no more of the spread than one run does: as one run
=========================  ==================================================================================

A target that is itself recorded reference runs is a sample too. Over seeds that is Welch's two-sample test
(1947); for one run the reference's prediction interval s * sqrt(1 + 1/m); for weights the two intervals are
joined by their squares (Zou and Donner 2008), which keeps the correction for skewness.

Where the spread is unknown the verdict is inconclusive. A run that failed, or whose figure or examples are
not finite, cannot be left out: with one, nothing is accepted; with nothing but such runs, it is rejected.

The 5 % hold for one look. Who rules, adds the seeds that are said to be needed and rules on all of them has
looked twice, and then a port at the edge passes in about 11 % of cases: rule on new seeds alone, or settle
their number before. ``benchmarks/verdict_error_rates.py`` prints this and all other error rates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.verdict.measurements import Measurements, Run, usable

CONFIDENCE = 0.95
SAME = 1e-12
"""Two figures are the same when they differ by less than this, relative to the largest figure at hand."""
MOST = 10**8
"""More seeds or examples than this are never asked for: then no number would decide."""

Bounds = tuple[float, float]
Word = Literal["accepted", "rejected", "inconclusive", "smoke", "changed"]


@dataclass(frozen=True)
class Verdict:
    """A ruling and everything it rests on. Figures are in the metric's unit; None means unknown."""

    verdict: Word
    value: float | None
    """The measured figure: mean over finished runs, or over one run's examples."""
    low: float | None
    high: float | None
    """Two-sided 95 % interval of ``value``, for display: plain t interval, cut at the metric's range."""
    n: int
    counted: Literal["seeds", "examples"]
    """What ``n`` counts."""
    target: float
    """The claim's target, or the mean of the reference runs."""
    margin: float
    published: float | None
    direction: Literal["higher", "lower"]
    gain: float | None
    """Measured minus target, turned so that more is better."""
    gain_low: float | None
    gain_high: float | None
    """One-sided 95 % bounds of the gain: these two are compared with -margin."""
    method: str
    reason: str
    needed: dict[str, int] | None = None
    """How many more ``seeds`` or ``examples`` would decide if mean and spread stay; None where none would."""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def rule(claim: Claim, measurements: Measurements, reference: Sequence[float] | None = None) -> Verdict:
    """Accepted, rejected or inconclusive: the module's docstring has the method.

    ``reference`` is a figure per reference run; default: those recorded with the claim. Margin and target
    always come from the claim, never from what was measured.

    Raises InputError for measurements that cannot be what the claim asks for: none at all, a seed twice,
    several runs of the same weights, examples whose mean is not the figure, figures outside the range.
    """
    _check(claim, measurements)
    if reference is None and claim.reference is not None:
        reference = claim.reference.sample
    if reference is not None and not (len(reference) and all(map(usable, reference))):
        raise InputError(f"claim {claim.id!r}: the reference needs runs, each with a finite figure; mend it.")
    recorded = None if reference is None else _Sample.of(reference)
    target = claim.target
    if target is None and recorded is not None:
        target = recorded.mean
    if target is None:
        raise InputError(f"claim {claim.id!r} has neither target nor reference runs; give one of them.")

    ruling = Verdict(
        verdict="rejected",
        value=None,
        low=None,
        high=None,
        n=0,
        counted="seeds",
        target=target,
        margin=claim.margin,
        published=None if claim.published is None else claim.published.value,
        direction=claim.direction,
        gain=None,
        gain_low=None,
        gain_high=None,
        method="none",
        reason="no run is left to rule on",
    )
    finished = [run for run in measurements.runs if not run.failed]
    if finished:
        ruling = _rule_finished(ruling, claim, finished, recorded)
    failed = ", ".join(str(run.seed) for run in measurements.runs if run.failed)
    if not failed:
        return ruling
    return replace(
        ruling,
        verdict="rejected" if ruling.verdict == "rejected" else "inconclusive",
        reason=f"seed {failed} failed or gave no finite figure, so nothing is accepted; {ruling.reason}",
        needed=None,
    )


def smoke(claim: Claim, measurements: Measurements, reference: Sequence[float] | None = None) -> Verdict:
    """The figures of a run too short to rule on anything. Raises what ``rule`` raises."""
    return replace(
        rule(claim, measurements, reference), verdict="smoke", reason="smoke: rules on no claim", needed=None
    )


def changed(
    claim: Claim,
    measurements: Measurements,
    settings: Mapping[str, Any],
    reference: Sequence[float] | None = None,
) -> Verdict:
    """The figures of runs with other settings of the recipe than the claim's own. Raises what ``rule`` raises."""
    said = ", ".join(f"{name}={value}" for name, value in settings.items())
    reason = f"{said}: not the claim's own settings, so this rules on no claim"
    return replace(rule(claim, measurements, reference), verdict="changed", reason=reason, needed=None)


def _rule_finished(blank: Verdict, claim: Claim, runs: list[Run], recorded: _Sample | None) -> Verdict:
    target, margin = blank.target, claim.margin
    rival = recorded if claim.target is None else None
    examples = runs[0].examples if claim.subject == "weights" else None
    measured = _Sample.of([run.value for run in runs] if examples is None else examples)
    if claim.subject == "procedure":
        evidence = _evidence_on_procedure(measured, target, rival, recorded)
    elif examples is None:
        evidence = _Evidence("the run has no figure per test example; let the metric's examples() give them")
    else:
        evidence = _evidence_on_weights(measured, target, rival, claim.range)

    sign = 1 if claim.direction == "higher" else -1
    low, high = evidence.interval or (None, None)
    if claim.range is not None and low is not None and high is not None:
        low, high = max(low, claim.range[0]), min(high, claim.range[1])
    counted: Literal["seeds", "examples"] = "seeds" if examples is None else "examples"
    ruling = replace(
        blank,
        verdict="inconclusive",
        value=measured.mean,
        low=low,
        high=high,
        n=measured.n,
        counted=counted,
        gain=sign * (measured.mean - target),
        method=evidence.method,
        reason=f"the spread is unknown: {evidence.unknown}",
    )
    if evidence.plan is None or evidence.bounds is None:
        return ruling

    same = SAME * max(abs(measured.mean), abs(target), margin)

    def gains(difference: Bounds) -> Bounds:
        return difference if sign == 1 else (-difference[1], -difference[0])

    def word(gain: Bounds) -> Word:
        if gain[0] > -margin + same:
            return "accepted"
        return "rejected" if gain[1] < -margin - same else "inconclusive"

    plan, gain = evidence.plan, gains(evidence.bounds)
    ruling = replace(ruling, verdict=word(gain), gain_low=gain[0], gain_high=gain[1])
    figures = f"{claim.show(measured.mean)} against {claim.show(target)}"
    lower, upper, edge = claim.show(gain[0]), claim.show(gain[1]), claim.show(-margin)
    if ruling.verdict == "accepted":
        return replace(ruling, reason=f"{figures}: the gain's lower bound {lower} is above {edge}")
    if ruling.verdict == "rejected":
        return replace(ruling, reason=f"{figures}: the gain's upper bound {upper} is below {edge}")
    reason = f"{figures}: the gain's bounds {lower} and {upper} enclose {edge}"
    more = _more(measured.n, lambda n: word(gains(plan(n))) != "inconclusive")
    if more is None:
        return replace(ruling, reason=f"{reason}, and no number of more {counted} would decide")
    return replace(
        ruling,
        reason=f"{reason}; {more} more {counted} would decide if mean and spread stay",
        needed={counted: more},
    )


@dataclass(frozen=True)
class _Sample:
    """Sufficient statistics. A spread of 0 means that none was seen, n = 1 included."""

    n: int
    mean: float
    spread: float
    """Standard deviation, n - 1 in the denominator."""
    skewness: float

    @classmethod
    def of(cls, values: Sequence[float]) -> _Sample:
        n = len(values)
        # fsum rounds once: neither the order of the values nor their common sign changes a digit
        mean = math.fsum(values) / n
        deviations = [value - mean for value in values]
        second = math.fsum(deviation**2 for deviation in deviations) / n
        if second == 0 or max(values) - min(values) <= SAME * max(map(abs, values)):
            return cls(n, mean, 0.0, 0.0)
        root = math.sqrt(second)
        skewness = math.fsum((deviation / root) ** 3 for deviation in deviations) / n
        return cls(n, mean, root * math.sqrt(n / (n - 1)), skewness)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.spread / math.sqrt(self.n)


@dataclass(frozen=True)
class _Evidence:
    """What the measurements say of the difference, measured minus target, on the metric's own scale."""

    unknown: str = ""
    """Why there are no bounds, where there are none."""
    method: str = "none"
    bounds: Bounds | None = None
    """One-sided 95 % bounds of the difference."""
    plan: Callable[[int], Bounds] | None = None
    """The bounds that n seeds or examples would give if mean and spread stayed."""
    interval: Bounds | None = None
    """Two-sided 95 % interval of the measured mean."""


def _evidence_on_weights(
    measured: _Sample, target: float, rival: _Sample | None, limits: Bounds | None
) -> _Evidence:
    """``rival``: the reference runs where the target is their mean."""
    if measured.spread > 0:
        method = "t interval over test examples, corrected for skewness"
        interval = _t_bounds(measured.mean, measured.error, measured.n - 1, 0.975)
    elif limits is not None:
        method = "test examples without spread: exact binomial worst case"
        interval = _worst_case(measured.mean, measured.n, limits, 0.975)
    else:
        return _Evidence(
            f"all test examples (n = {measured.n}) have the same figure; evaluate on more, or give the claim"
            " the metric's range"
        )

    def mean_bounds(n: int) -> Bounds:
        if measured.spread > 0:
            return _skew_bounds(measured, n, CONFIDENCE)
        assert limits is not None  # noqa: S101
        return _worst_case(measured.mean, n, limits, CONFIDENCE)

    if rival is None:

        def plan(n: int) -> Bounds:
            low, high = mean_bounds(n)
            return low - target, high - target

    elif rival.spread == 0:
        return _Evidence(_without_spread(rival), interval=interval)
    else:
        method = f"{method}; joined with the t interval over {rival.n} reference runs"
        rival_low, rival_high = _t_bounds(rival.mean, rival.error, rival.n - 1, CONFIDENCE)

        def plan(n: int) -> Bounds:
            low, high = mean_bounds(n)
            return (
                measured.mean - target - math.hypot(measured.mean - low, rival_high - target),
                measured.mean - target + math.hypot(high - measured.mean, target - rival_low),
            )

    return _Evidence(method=method, bounds=plan(measured.n), plan=plan, interval=interval)


def _evidence_on_procedure(
    measured: _Sample, target: float, rival: _Sample | None, recorded: _Sample | None
) -> _Evidence:
    """``rival``: the reference runs where the target is their mean; ``recorded``: they, if there are any."""
    difference = measured.mean - target
    if rival is not None and rival.spread == 0:
        return _Evidence(_without_spread(rival))

    def plan_for(spread: float) -> Callable[[int], Bounds]:
        def plan(n: int) -> Bounds:
            own = spread / math.sqrt(n)
            if rival is None:
                return _t_bounds(difference, own, n - 1, CONFIDENCE)
            error = math.hypot(own, rival.error)
            share = (own / error) ** 2
            freedom = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (rival.n - 1))
            return _t_bounds(difference, error, freedom, CONFIDENCE)

        return plan

    if measured.spread > 0:
        plan = plan_for(measured.spread)
        return _Evidence(
            method="t interval over seeds" if rival is None else "Welch's two-sample t test over seeds",
            bounds=plan(measured.n),
            plan=plan,
            interval=_t_bounds(measured.mean, measured.error, measured.n - 1, 0.975),
        )
    if recorded is None:
        what = "one run says" if measured.n == 1 else f"{measured.n} runs with the very same figure say"
        return _Evidence(f"{what} nothing of it; run more seeds, or record reference runs")
    if recorded.spread == 0:
        return _Evidence(_without_spread(recorded))
    error = recorded.spread if rival is None else math.hypot(recorded.spread, recorded.error)
    return _Evidence(
        method=f"one run, with the spread of {recorded.n} reference runs",
        bounds=_t_bounds(difference, error, recorded.n - 1, CONFIDENCE),
        plan=plan_for(recorded.spread),
        interval=_t_bounds(measured.mean, recorded.spread, recorded.n - 1, 0.975),
    )


def _without_spread(reference: _Sample) -> str:
    return f"the reference runs (n = {reference.n}) do not differ; record some with other seeds"


def _t_bounds(mean: float, error: float, freedom: float, confidence: float) -> Bounds:
    """One-sided bounds of a mean with standard error ``error``, each at ``confidence``."""
    from scipy.special import stdtrit

    width = float(stdtrit(freedom, confidence)) * error
    return mean - width, mean + width


def _skew_bounds(sample: _Sample, n: int, confidence: float) -> Bounds:
    """One-sided bounds of the mean of n values like the sample's, corrected for skewness.

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


def _worst_case(value: float, n: int, limits: Bounds, confidence: float) -> Bounds:
    """Bounds of a mean when n examples all had the same value: the unseen share may lie at a limit."""
    unseen = 1 - (1 - confidence) ** (1 / n)
    return value - unseen * (value - limits[0]), value + unseen * (limits[1] - value)


def _more(n: int, decides: Callable[[int], bool]) -> int | None:
    """The least number of further seeds or examples that decides, None where none up to MOST does."""
    most = n + 1
    while not decides(most):
        most *= 2
        if most > MOST:
            return None
    least = n
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if decides(middle) else (middle, most)
    return most - n


def _check(claim: Claim, measurements: Measurements) -> None:
    where = f"claim {claim.id!r}"
    runs = measurements.runs
    if not runs:
        raise InputError(f"{where}: there is no measured run to rule on; evaluate one first.")
    if claim.subject == "weights" and len(runs) > 1:
        raise InputError(
            f"{where} is about the weights of one run, and {len(runs)} runs were measured; give one."
        )
    for seed, count in Counter(run.seed for run in runs).items():
        if count > 1:
            raise InputError(f"{where}: seed {seed} was measured {count} times; the same run counts once.")
    for run in runs:
        if run.examples is not None and not run.examples:
            raise InputError(
                f"{where}: seed {run.seed} has an empty list of examples; give them or none at all."
            )
        if run.failed:
            continue
        figures = np.array([run.value, *(run.examples or ())])
        size = float(np.abs(figures).max())
        if run.examples and abs(run.value - float(np.mean(run.examples))) > 1e-5 * size:
            raise InputError(
                f"{where}: seed {run.seed} has the figure {run.value:.6g} and examples whose mean is"
                f" {np.mean(run.examples):.6g}; measure both on the same examples."
            )
        if claim.range is not None:
            low, high = claim.range
            if figures.min() < low - 1e-6 * size or figures.max() > high + 1e-6 * size:
                raise InputError(
                    f"{where}: seed {run.seed} has figures from {figures.min():.6g} to {figures.max():.6g},"
                    f" outside the metric's range {low:g} to {high:g}; measure in the claim's unit."
                )
