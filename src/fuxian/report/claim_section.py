"""What a report says of one claim: the ruling in words, its row of the table, its interval as a picture."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.report import figures
from fuxian.report.blocks import Key, Picture
from fuxian.report.language import Say
from fuxian.report.numbers import format_figure, format_interval, format_spread, half_width
from fuxian.report.run_view import MeasurementsFile, RunView, VerdictFile

SYMBOLS = {"accepted": "✓", "rejected": "✗", "inconclusive": "?", "smoke": "○", "no_verdict": "○"}


@dataclass(frozen=True)
class ClaimRuns:
    """A claim with the runs made for it and the ruling on them (None when nothing has been ruled on)."""

    claim: Claim
    runs: list[RunView]
    ruling: VerdictFile | None

    @property
    def verdict(self) -> str:
        return self.ruling.verdict if self.ruling else "no_verdict"

    def __post_init__(self) -> None:
        """A scaled figure is never shown beside the paper's, so all files have to agree on the scope."""
        files = [self.ruling, *(run.verdict for run in self.runs), *(run.measurements for run in self.runs)]
        said = next((file.scope for file in files if file and file.scope != self.claim.scope), None)
        if said:
            raise InputError(
                f"A run of claim {self.claim.id!r} says its scope is {said!r}, and paper.toml says"
                f" {self.claim.scope!r}; evaluate and rule again."
            )

    @property
    def scaled(self) -> bool:
        return self.claim.scope == "scaled"

    @property
    def measurements(self) -> list[tuple[RunView, MeasurementsFile]]:
        """Each measurements.json once: folders of one ruling may all hold the measurements of the whole."""
        found: list[tuple[RunView, MeasurementsFile]] = []
        for run in self.runs:
            if run.measurements and all(run.measurements != known for _, known in found):
                found.append((run, run.measurements))
        return found

    @property
    def measured_runs(self) -> list[tuple[RunView, int, float | None]]:
        """Each seed's figure once, with the folder it is from; None for a run that failed."""
        by_seed: dict[int, tuple[RunView, int, float | None]] = {}
        for run, measurements in self.measurements:
            for one in measurements.runs:
                by_seed.setdefault(one.seed, (run, one.seed, one.value))
        return list(by_seed.values())

    @property
    def values(self) -> list[float | None]:
        return [value for _, _, value in self.measured_runs]

    @property
    def percent(self) -> bool:
        return self.claim.display == "percent"

    def show(self, value: float | None, spread: float | None = None) -> str:
        return format_figure(value, spread, percent=self.percent)

    def show_ours(self) -> str:
        measured = self.ruling.measured if self.ruling else None
        return self.show(measured.value, half_width(measured.interval)) if measured else "–"

    def show_interval(self) -> str:
        return format_interval(self.ruling.measured.interval if self.ruling else None, percent=self.percent)

    def show_published(self, say: Say) -> str:
        """The paper's figure with its half-width; "not compared" for a scaled claim."""
        if self.scaled:
            return say("not_compared")
        if self.claim.published is None:
            return "–"
        value, spread = self.claim.published.value, self.claim.published.half_width
        if spread is None:
            return self.show(value)
        return format_spread(value, spread, percent=self.percent)

    def show_target(self) -> str:
        if self.ruling:
            return self.show(self.ruling.target, self.ruling.margin)
        recorded = fmean(self.claim.reference.sample) if self.claim.reference else None
        return self.show(recorded if self.claim.target is None else self.claim.target, self.claim.margin)

    def show_margin(self) -> str:
        margin = self.ruling.margin if self.ruling else self.claim.margin
        return self.show(margin, margin)


def group_claims(runs: list[RunView], claim_of: Callable[[str], Claim]) -> list[ClaimRuns]:
    """The runs by claim, in the order given. The ruling of a claim is the one with the largest n."""
    groups: dict[str, list[RunView]] = {}
    for run in runs:
        groups.setdefault(run.claim, []).append(run)
    return [
        ClaimRuns(
            claim_of(name),
            members,
            max((run.verdict for run in members if run.verdict), key=lambda v: v.measured.n, default=None),
        )
        for name, members in groups.items()
    ]


def sentences(part: ClaimRuns, say: Say) -> list[str]:
    """The ruling in words: what was claimed and measured, the verdict and why, and what would decide."""
    claim, ruling = part.claim, part.ruling
    if part.scaled:
        said = [say("claimed_scaled")]
    elif claim.published:
        source = claim.published.source
        said = [say("claimed", metric=claim.metric, published=part.show_published(say), source=source)]
    else:
        said = [say("claimed_nothing")]
    if ruling is None:
        return [*said, say("why_no_verdict")]
    if ruling.verdict != "smoke":
        recorded = claim.reference.sample if claim.reference and claim.target is None else ()
        key = "target_reference" if recorded else "target_is"
        said.append(say(key, target=part.show_target(), margin=part.show_margin(), count=len(recorded)))
    measured = ruling.measured
    if measured.value is not None:
        key = "measured" if measured.interval else "measured_point"
        unit = say(f"counted_{ruling.counted}")
        said.append(
            say(key, value=part.show_ours(), interval=part.show_interval(), n=measured.n, counted=unit)
        )
    said.append(say(_why(part, ruling)))
    if ruling.verdict == "inconclusive":
        wanted = [
            say("needed", count=f"{count:,}", unit=say(f"unit_{unit}"))
            for unit, count in (ruling.needed or {}).items()
        ]
        said += wanted or [say("needed_unknown")]
    return said


def _why(part: ClaimRuns, ruling: VerdictFile) -> str:
    if ruling.verdict == "rejected" and ruling.measured.value is None:
        return "why_nothing"
    if ruling.verdict == "inconclusive" and None in part.values:
        return "why_failed"
    if ruling.verdict == "inconclusive" and ruling.gain_low is None:
        return "why_unknown"
    return f"why_{ruling.verdict}"


def reason(ruling: VerdictFile | None, say: Say) -> str:
    """The checker's own sentence, which is English in every language."""
    if ruling is None or not ruling.reason:
        return ""
    return say("test_says", reason=ruling.reason, method=ruling.method or "–")


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


def interval_picture(part: ClaimRuns, say: Say) -> Picture | None:
    """Our interval against target and margin. None where nothing was ruled on or nothing was measured."""
    ruling, claim = part.ruling, part.claim
    if ruling is None or ruling.verdict == "smoke" or ruling.measured.value is None:
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
        f"{claim.metric} (%)" if part.percent else claim.metric,
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
