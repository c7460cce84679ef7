"""A claim together with its runs and their ruling, and its figures as text."""

from collections.abc import Callable
from dataclasses import dataclass

from fuxian.errors import InputError
from fuxian.paper import Claim
from fuxian.report.language import Say
from fuxian.report.numbers import format_figure, format_interval, format_spread, half_width
from fuxian.report.run_view import MeasurementsFile, RunView, VerdictFile

SYMBOLS = {
    "accepted": "✓",
    "rejected": "✗",
    "inconclusive": "?",
    "smoke": "○",
    "changed": "○",
    "no_verdict": "○",
}


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
        return self.show(self.claim.to_reach, self.claim.margin)

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
