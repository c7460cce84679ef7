"""What a report says of one claim: the ruling in words, and its interval as a picture."""

import math
from statistics import fmean

from fuxian.paper import NO_REASON
from fuxian.report import figures
from fuxian.report.blocks import Key, Picture
from fuxian.report.claim_runs import ClaimRuns
from fuxian.report.language import Say, unit_of
from fuxian.report.run_view import VerdictFile
from fuxian.report.terms import Term


def headline(part: ClaimRuns, say: Say) -> list[str]:
    """The ruling in a line or two: the verdict's reason, and what would decide."""
    ruling = part.ruling
    if ruling is None:
        return [say("why_no_verdict")]
    said = [say(_why(part, ruling))]
    if ruling.verdict == "inconclusive":
        wanted = [
            say("needed", count=f"{count:,}", unit=unit_of(count, unit, say))
            for unit, count in (ruling.needed or {}).items()
        ]
        said += wanted or [say("needed_unknown")]
    return said


def sentences(part: ClaimRuns, say: Say, term: Term) -> list[str]:
    """What was claimed, what is to be reached and why by this margin, and what was measured."""
    claim, ruling = part.claim, part.ruling
    if part.scaled:
        said = [say("claimed_scaled")]
    elif claim.published:
        metric, source = term(claim.metric), term(claim.published.source)
        said = [say("claimed", metric=metric, published=part.show_published(say), source=source)]
    else:
        said = [say("claimed_nothing")]
    if ruling is None:
        return said
    if ruling.verdict not in ("smoke", "changed"):
        recorded = claim.reference.sample if claim.reference and claim.target is None else ()
        key = "target_reference" if recorded else "target_is"
        said.append(say(key, target=part.show_target(), margin=part.show_margin(), count=len(recorded)))
        stated = claim.margin_reason != NO_REASON
        said.append(
            say("margin_reason", reason=term(claim.margin_reason)) if stated else say("margin_without_reason")
        )
    measured = ruling.measured
    if measured.value is not None:
        key = "measured" if measured.interval else "measured_point"
        unit = unit_of(measured.n, ruling.counted, say)
        said.append(
            say(key, value=part.show_ours(), interval=part.show_interval(), n=measured.n, counted=unit)
        )
    return said


def _why(part: ClaimRuns, ruling: VerdictFile) -> str:
    if ruling.verdict == "rejected" and ruling.measured.value is None:
        return "why_nothing"
    if ruling.verdict == "inconclusive" and None in part.values:
        return "why_failed"
    if ruling.verdict == "inconclusive" and ruling.gain_low is None:
        return "why_unknown"
    if ruling.verdict == "inconclusive" and ruling.gain_low is not None and ruling.gain_low > -ruling.margin:
        return "why_fewer"
    return f"why_{ruling.verdict}"


def ruled_otherwise(part: ClaimRuns, say: Say) -> list[str]:
    """Warnings: the verdict rests on another target or margin than paper.toml has; there are others."""
    ruling, claim = part.ruling, part.claim
    if ruling is None:
        return []
    now = [(ruling.margin, claim.margin)] + (
        [(ruling.target, claim.target)] if claim.target is not None else []
    )
    notes = [] if all(math.isclose(a, b, rel_tol=1e-9) for a, b in now) else [say("ruled_otherwise")]
    for run in part.runs:
        if run.verdict is not None and run.verdict != ruling:
            notes.append(
                say("other_verdict", run=run.name, verdict=say(run.verdict.verdict), n=run.verdict.measured.n)
            )
    return notes


def interval_picture(part: ClaimRuns, say: Say, term: Term) -> Picture | None:
    """Our interval against target and margin. None where nothing was ruled on or nothing was measured."""
    ruling, claim = part.ruling, part.claim
    if ruling is None or ruling.verdict in ("smoke", "changed") or ruling.measured.value is None:
        return None
    bars = []
    if claim.published and not part.scaled:
        value, spread = claim.published.value, claim.published.half_width
        ends = (value - spread, value + spread) if spread else None
        bars.append(figures.Bar(say("bar_paper"), value, ends))
    if claim.reference:
        sample = claim.reference.sample
        bars.append(figures.Bar(say("bar_reference"), fmean(sample), runs=sample))
    measured = ruling.measured
    runs = [value for value in part.values if value is not None]
    bars.append(
        figures.Bar(
            say("bar_ours"),
            ruling.measured.value,
            measured.interval,
            ruling.bounds,
            runs if len(runs) > 1 else (),
            ours=True,
        )
    )
    svg = figures.draw_intervals(
        bars,
        ruling.target,
        ruling.edge,
        f"{term(claim.metric)} (%)" if part.percent else term(claim.metric),
        f"interval {claim.id}",
        higher_is_better=ruling.direction == "higher",
        percent=part.percent,
    )
    target, edge = part.show_target(), part.show(ruling.edge, ruling.margin)
    legend = [
        Key(say("legend_target", target=target)),
        Key(say("legend_edge", edge=edge), dashes=(4, 3)),
        Key(say("legend_zone"), "zone", mark="zone"),
    ]
    if any(bar.interval for bar in bars):
        legend.append(Key(say("legend_interval"), "ours"))
    if ruling.bounds:
        legend.append(Key(say("legend_test"), "ours", width=4))
    if any(bar.runs for bar in bars):
        legend.append(Key(say("legend_runs"), "muted", mark="dot"))
    alt = say("interval_alt", target=target, edge=edge, value=part.show_ours(), interval=part.show_interval())
    return Picture(say("interval_figure"), alt, svg, legend)
