"""The ruling on a claim from measurements. Statistics only: no framework, no file, no randomness.

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
weights, a mean of two     exact binomial bounds (Clopper and Pearson 1934): one example more that is right never
values                     gives a worse verdict
weights, another mean      t interval over the test examples, corrected for their skewness (Hall 1992), within the
                           claim's range. With fewer than 5 examples off the most common value the spread is not
                           known: bounds as of right and wrong examples, the widest with that mean
weights, all alike         at most the share 1 - 0.05^(1/n) of all examples differs ("rule of three", 3/n), and those
                           as far as the range lets them
weights, no mean           AP, hmean, IoU, AUC, TAR at FAR, accuracy over folds: ``fuxian.verdict.sets``
procedure, n >= 2 runs     the runs are a sample: t interval over seeds (Student 1908)
procedure, one run         the recorded reference runs lend their spread, with their degrees of freedom: the
                           prediction interval of one more run. Needs a port that spreads like the reference
procedure, all runs alike  tells no more of the spread than one run does: as one run
=========================  ==================================================================================

A mean of examples without a range may hide rare ones without bound, and is not ruled on. A claim whose errors have
no natural range says ``capped``: what lies beyond its range counts as its end, and the share of examples that n could
have missed, 3/n, may lie between the worst that was seen and that end.

A target that is itself recorded reference runs is a sample too. Over seeds that is Welch's two-sample test
(1947), and nothing is accepted on fewer runs than the reference has: samples of equal size keep it right where runs
are skewed or spread differently. For one run it is the reference's prediction interval s * sqrt(1 + 1/m); for weights
the two intervals are joined by their squares (Zou and Donner 2008). A published figure is a number to reach, unless the
claim compares with the ``estimate`` that it is: then its own interval is joined likewise.

Where the spread is unknown the verdict is inconclusive. A run that failed, or whose figure or examples are
not finite, cannot be left out: with one, nothing is accepted; with nothing but such runs, it is rejected.

The 5 % hold for one look; ``alpha`` shares them out over several (0.05 / K for K attempts). Who rules, adds the
seeds that are said to be needed and rules on all of them has looked twice, and then a port at the edge passes in about
11 % of cases: rule on new seeds alone, settle their number before, or take ``fuxian.verdict.e_value``.
``benchmarks/verdict_error_rates.py`` prints this and all other error rates.
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
from fuxian.verdict.sample import (
    FEWEST,
    SAME,
    Bounds,
    Sample,
    joined,
    scaled_binomial_bounds,
    skew_bounds,
    t_bounds,
    unseen_share,
    worst_case_bounds,
)
from fuxian.verdict.sets import Unseen, set_figure

ALPHA = 0.05
MOST = 10**8
"""More seeds or examples than this are never asked for: then no number would decide."""

Word = Literal["accepted", "rejected", "inconclusive", "smoke", "changed"]


@dataclass(frozen=True)
class Verdict:
    """A ruling and everything it rests on. Figures are in the metric's unit; None means unknown."""

    verdict: Word
    value: float | None
    """The measured figure: mean over finished runs, or the figure of one run's examples."""
    low: float | None
    high: float | None
    """Two-sided 95 % interval of ``value``, for display, cut at the metric's range."""
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
    """One-sided bounds of the gain, each wrong with probability ``alpha``: these two are compared with -margin."""
    alpha: float
    method: str
    reason: str
    needed: dict[str, int] | None = None
    """How many more ``seeds`` or ``examples`` would decide if mean and spread stay; None where none would."""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def rule(
    claim: Claim,
    measurements: Measurements,
    reference: Sequence[float] | None = None,
    *,
    alpha: float = ALPHA,
) -> Verdict:
    """Accepted, rejected or inconclusive: the module's docstring has the method.

    ``reference`` is a figure per reference run; default: those recorded with the claim. Margin and target
    always come from the claim, never from what was measured. ``alpha`` is the probability of each error.

    Raises InputError for measurements that cannot be what the claim asks for: none at all, a seed twice,
    several runs of the same weights, examples or units that do not give the figure, figures outside the range.
    """
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha is {alpha!r:.40}; give a probability of error between 0 and 0.5.")
    _check(claim, measurements)
    if reference is None and claim.reference is not None:
        reference = claim.reference.sample
    if reference is not None and not (len(reference) and all(map(usable, reference))):
        raise InputError(f"claim {claim.id!r}: the reference needs runs, each with a finite figure; mend it.")
    recorded = None if reference is None else Sample.of(reference)
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
        alpha=alpha,
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


@dataclass(frozen=True)
class _Evidence:
    """What the measurements say, on the metric's own scale."""

    value: float
    n: int
    counted: Literal["seeds", "examples"]
    unknown: str = ""
    """Why there are no bounds, where there are none."""
    method: str = "none"
    plan: Callable[[int], Bounds] | None = None
    """The one-sided bounds of measured minus target that n seeds or examples give if mean and spread stay."""
    interval: Bounds | None = None
    """Two-sided 95 % interval of the measured figure."""
    bounds: Bounds | None = None
    """The bounds at hand where they are not those that the plan gives for n."""
    wanted: int = 0
    """Nothing is accepted on fewer seeds."""


def _rule_finished(blank: Verdict, claim: Claim, runs: list[Run], recorded: Sample | None) -> Verdict:
    target, margin = blank.target, claim.margin
    rival = recorded if claim.target is None else None
    if claim.subject == "procedure":
        evidence = _on_procedure(runs, claim, target, rival, recorded, 1 - blank.alpha)
    else:
        evidence = _on_weights(runs[0], claim, target, rival, 1 - blank.alpha)

    sign = 1 if claim.direction == "higher" else -1
    low, high = evidence.interval or (None, None)
    if claim.range is not None and low is not None and high is not None:
        low, high = max(low, claim.range[0]), min(high, claim.range[1])
    counted, n = evidence.counted, evidence.n
    ruling = replace(
        blank,
        verdict="inconclusive",
        value=evidence.value,
        low=low,
        high=high,
        n=n,
        counted=counted,
        gain=sign * (evidence.value - target),
        method=evidence.method,
        reason=f"the spread is unknown: {evidence.unknown}",
    )
    if evidence.plan is None:
        return ruling

    same = SAME * max(abs(evidence.value), abs(target), margin)
    plan = evidence.plan

    def gains(difference: Bounds) -> Bounds:
        return difference if sign == 1 else (-difference[1], -difference[0])

    def word(gain: Bounds) -> Word:
        if gain[0] > -margin + same:
            return "accepted"
        return "rejected" if gain[1] < -margin - same else "inconclusive"

    gain = gains(evidence.bounds or plan(n))
    ruling = replace(ruling, verdict=word(gain), gain_low=gain[0], gain_high=gain[1])
    figures = f"{claim.show(evidence.value)} against {claim.show(target)}"
    lower, upper, edge = claim.show(gain[0]), claim.show(gain[1]), claim.show(-margin)
    if ruling.verdict == "rejected":
        return replace(ruling, reason=f"{figures}: the gain's upper bound {upper} is below {edge}")
    if ruling.verdict == "accepted" and n < evidence.wanted:
        missing = evidence.wanted - n
        return replace(
            ruling,
            verdict="inconclusive",
            reason=f"{figures}: the gain's lower bound {lower} is above {edge}, and nothing is accepted on fewer seeds"
            f" than the reference has runs; {_counted(missing, counted)} make{'s' * (missing == 1)} them as many",
            needed={counted: missing},
        )
    if ruling.verdict == "accepted":
        return replace(ruling, reason=f"{figures}: the gain's lower bound {lower} is above {edge}")
    reason = f"{figures}: the gain's bounds {lower} and {upper} enclose {edge}"
    more = _more(n, lambda n: word(gains(plan(n))) != "inconclusive")
    if more is None:
        return replace(ruling, reason=f"{reason}, and no number of more {counted} would decide")
    more = max(more, evidence.wanted - n)
    return replace(
        ruling,
        reason=f"{reason}; {_counted(more, counted)} would decide if mean and spread stay",
        needed={counted: more},
    )


def _counted(more: int, counted: str) -> str:
    """``1 more seed``, ``2 more seeds``."""
    return f"{more} more {counted[:-1] if more == 1 else counted}"


def _on_weights(run: Run, claim: Claim, target: float, rival: Sample | None, confidence: float) -> _Evidence:
    """``rival``: the reference runs where the target is their mean."""
    if run.units is not None:
        own = _of_set(run, confidence)
    elif run.examples is not None:
        own = _of_mean(run.examples, claim, confidence)
    else:
        own = _Evidence(
            run.value,
            1,
            "seeds",
            "the run has no figure per test example; let the metric's units() give what each contributed",
        )
    if own.plan is None:
        return own
    if rival is not None and rival.spread == 0:
        return replace(own, plan=None, method="none", unknown=_without_spread(rival))
    return _against(own, claim, target, rival, confidence)


def _against(
    own: _Evidence, claim: Claim, target: float, rival: Sample | None, confidence: float
) -> _Evidence:
    """Evidence whose plan bounds the figure becomes one whose plan bounds its difference from the target."""
    plan, method = own.plan, own.method
    assert plan is not None  # noqa: S101
    if rival is not None:
        against = t_bounds(rival.mean, rival.error, rival.n - 1, confidence)
        method += f"; joined with the t interval over {rival.n} reference runs"
    elif claim.compared_with == "estimate":
        against = _published_bounds(claim, target, confidence)
        method += "; joined with the published figure's own interval"
    else:
        against = (target, target)

    def difference(n: int) -> Bounds:
        return joined(own.value, plan(n), target, against)

    bounds = None if own.bounds is None else joined(own.value, own.bounds, target, against)
    return replace(own, plan=difference, bounds=bounds, method=method)


def _published_bounds(claim: Claim, target: float, confidence: float) -> Bounds:
    from scipy.special import ndtri

    assert claim.published is not None and claim.published.half_width is not None  # noqa: S101 - Claim checks it
    width = float(ndtri(confidence) / ndtri(0.975)) * claim.published.half_width
    return target - width, target + width


def _of_mean(examples: Sequence[float], claim: Claim, confidence: float) -> _Evidence:
    limits = claim.range
    method = ""
    if claim.capped and limits is not None:
        examples = [min(max(value, limits[0]), limits[1]) for value in examples]
        method = f"examples beyond {limits[0]:g} to {limits[1]:g} count as these; "
    sample = Sample.of(examples)
    blank = _Evidence(sample.mean, sample.n, "examples")
    ends = limits if limits is not None else sample.ends
    if ends is None:
        alike = "all have the same figure" if sample.spread == 0 else "may hide rare ones without bound"
        said = f"test examples (n = {sample.n}) without a range {alike}; give the claim the metric's range"
        if sample.spread == 0:
            return replace(blank, unknown=said)
        interval = t_bounds(sample.mean, sample.error, sample.n - 1, 0.975)
        return replace(blank, unknown=said, interval=interval)
    two = _two_values(sample, ends)
    if sample.spread == 0:
        method += "test examples without spread: exact binomial worst case"
    elif two:
        method += "exact binomial bounds over test examples"
    elif sample.others < FEWEST:
        method += f"fewer than {FEWEST} test examples off the most common figure: binomial bounds"
    else:
        method += "t interval over test examples, corrected for skewness"

    def plan(n: int) -> Bounds:
        if sample.spread == 0:
            return worst_case_bounds(sample.mean, n, ends, confidence)
        if two or sample.others * n < FEWEST * sample.n:
            return scaled_binomial_bounds(sample.mean, n, ends, confidence)
        low, high = skew_bounds(sample, n, confidence)
        if not claim.capped:
            return low, high
        # So many examples may lie beyond all that were seen, as far as the cap: errors without measure are rare.
        missed = unseen_share(n, confidence)
        rest = missed * (min(examples) - ends[0]), missed * (ends[1] - max(examples))
        return sample.mean - math.hypot(sample.mean - low, rest[0]), sample.mean + math.hypot(
            high - sample.mean, rest[1]
        )

    return replace(blank, method=method, plan=plan, interval=_plain_interval(sample, ends))


def _two_values(sample: Sample, ends: Bounds) -> bool:
    """Whether every example has one of the two values that there can be."""
    return sample.ends is not None and sample.ends == tuple(ends)


def _plain_interval(sample: Sample, ends: Bounds) -> Bounds:
    if sample.spread == 0:
        return worst_case_bounds(sample.mean, sample.n, ends, 0.975)
    if _two_values(sample, ends):
        return scaled_binomial_bounds(sample.mean, sample.n, ends, 0.975)
    return t_bounds(sample.mean, sample.error, sample.n - 1, 0.975)


def _of_set(run: Run, confidence: float) -> _Evidence:
    assert run.units is not None  # noqa: S101
    found, counted = set_figure(run.units), run.units.n
    blank = _Evidence(found.value, counted, "examples")
    if found.bounds is None:
        return replace(blank, unknown=found.unknown)
    try:
        low, high = found.bounds(confidence)
        interval = found.bounds(0.975)
    except Unseen as error:
        return replace(blank, unknown=str(error))

    def plan(n: int) -> Bounds:
        shrunk = math.sqrt(counted / n)
        return found.value - shrunk * (found.value - low), found.value + shrunk * (high - found.value)

    return replace(blank, method=found.method, plan=plan, bounds=(low, high), interval=interval)


def _on_procedure(
    runs: list[Run],
    claim: Claim,
    target: float,
    rival: Sample | None,
    recorded: Sample | None,
    confidence: float,
) -> _Evidence:
    """``rival``: the reference runs where the target is their mean; ``recorded``: they, if there are any."""
    measured = Sample.of([run.value for run in runs])
    blank = _Evidence(measured.mean, measured.n, "seeds", wanted=0 if rival is None else rival.n)
    if rival is not None and rival.spread == 0:
        return replace(blank, unknown=_without_spread(rival))

    def plan_for(spread: float) -> Callable[[int], Bounds]:
        def against_runs(n: int) -> Bounds:
            assert rival is not None  # noqa: S101
            own = spread / math.sqrt(n)
            error = math.hypot(own, rival.error)
            share = (own / error) ** 2
            freedom = 1 / (share**2 / (n - 1) + (1 - share) ** 2 / (rival.n - 1))
            return t_bounds(measured.mean - target, error, freedom, confidence)

        def of_mean(n: int) -> Bounds:
            return t_bounds(measured.mean, spread / math.sqrt(n), n - 1, confidence)

        return of_mean if rival is None else against_runs

    if measured.spread > 0:
        found = replace(
            blank,
            method="t interval over seeds" if rival is None else "Welch's two-sample t test over seeds",
            plan=plan_for(measured.spread),
            interval=t_bounds(measured.mean, measured.error, measured.n - 1, 0.975),
        )
        return found if rival is not None else _against(found, claim, target, None, confidence)
    if recorded is None:
        what = "one run says" if measured.n == 1 else f"{measured.n} runs with the very same figure say"
        return replace(blank, unknown=f"{what} nothing of it; run more seeds, or record reference runs")
    if recorded.spread == 0:
        return replace(blank, unknown=_without_spread(recorded))
    error = recorded.spread if rival is None else math.hypot(recorded.spread, recorded.error)
    centre = measured.mean if rival is None else measured.mean - target
    found = replace(
        blank,
        method=f"one run, with the spread of {recorded.n} reference runs",
        bounds=t_bounds(centre, error, recorded.n - 1, confidence),
        plan=plan_for(recorded.spread),
        interval=t_bounds(measured.mean, recorded.spread, recorded.n - 1, 0.975),
    )
    return found if rival is not None else _against(found, claim, target, None, confidence)


def _without_spread(reference: Sample) -> str:
    return f"the reference runs (n = {reference.n}) do not differ; record some with other seeds"


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
        recomputed = run.recomputed()
        if recomputed is not None and not abs(run.value - recomputed) <= 1e-5 * size:
            what = "examples whose mean is" if run.units is None else "units whose figure is"
            raise InputError(
                f"{where}: seed {run.seed} has the figure {run.value:.6g} and {what} {recomputed:.6g};"
                " measure both on the same examples."
            )
        if claim.range is not None and not claim.capped:
            low, high = claim.range
            if figures.min() < low - 1e-6 * size or figures.max() > high + 1e-6 * size:
                raise InputError(
                    f"{where}: seed {run.seed} has figures from {figures.min():.6g} to {figures.max():.6g},"
                    f" outside the metric's range {low:g} to {high:g}; measure in the claim's unit."
                )
