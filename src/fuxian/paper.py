"""Paper and Claim: what was claimed, read from a ``paper.toml``.

A claim fixes everything that decides its ruling (target, margin, checkpoint rule, seeds) before any training.
"""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from fuxian.errors import InputError
from fuxian.toml_files import TomlFile, in_words, load_toml, read_text

Text = Annotated[str, Field(min_length=1)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, gt=0, lt=2**63)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]


NO_REASON = "no reason is stated"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(_Part):
    """The reference implementation of a paper."""

    repo: Text
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")]
    licence: Text


class Published(_Part):
    """A figure as the paper or its official repository prints it."""

    value: Number
    half_width: Annotated[Number, Field(gt=0)] | None = None
    """Half of the printed 95 % confidence interval, in the figure's own unit."""
    source: Text
    """The place: table, page, section or URL."""


class ReferenceRun(_Part):
    model_config = ConfigDict(extra="ignore")  # a recording may say more of a run

    seed: Seed
    value: Number


class ReferenceRuns(_Part):
    """Runs of the reference implementation, recorded in a JSON file beside the paper.toml."""

    model_config = ConfigDict(extra="ignore")  # a recording may say more of how it was made

    file: Text
    """Path relative to the paper's folder."""
    repo: Text
    commit: Text
    command: Text
    metric: Text
    values: Annotated[tuple[ReferenceRun, ...], Field(min_length=2)]

    @field_validator("values")
    @classmethod
    def _seeds_differ(cls, values: tuple[ReferenceRun, ...]) -> tuple[ReferenceRun, ...]:
        if len({run.seed for run in values}) < len(values):
            raise ValueError("a seed is recorded twice; record each once")
        return values

    @property
    def sample(self) -> tuple[float, ...]:
        """The figure of each recorded run."""
        return tuple(run.value for run in self.values)


class Quick(_Part):
    """What a smoke run does instead: enough to see that everything runs."""

    iterations: Count
    evaluate_every: Count | None = None
    checkpoint_every: Count | None = None
    log_every: Count | None = None


class Claim(_Part):
    """One figure of a paper, and how a reproduction of it is ruled on.

    All figures are in the metric's own unit: an accuracy is a fraction, and ``display`` shows it in per cent.
    The order of the fields matters: defaults and checks look at the fields above them.
    """

    id: Identifier
    title: Text
    dataset: Text
    split: Text
    metric: Text
    """The key of ``Metric.figures()`` that is ruled on."""
    unit: Text
    display: Literal["percent", "number"] = "number"
    range: tuple[Number, Number] | None = Field(default=None, validate_default=True)
    """Least and greatest figure that one test example can have; (0, 1) where the unit is accuracy."""
    capped: bool = Field(default=False, validate_default=True)
    """Examples beyond the range count as its end: for errors that have no greatest figure of their own."""
    direction: Literal["higher", "lower"]
    scope: Literal["paper", "scaled"]
    """``paper``: the paper's setting. ``scaled``: a smaller one, never compared with the paper's figure."""
    subject: Literal["weights", "procedure"]
    """``weights``: these weights, on more test examples. ``procedure``: training again, with other seeds."""
    published: Published | None = None
    reference: ReferenceRuns | None = None
    target: Number | None = Field(default=None, validate_default=True)
    """Default: the published value. None: the target is the recorded reference, as a sample."""
    compared_with: Literal["printed figure", "estimate"] = Field(
        default="printed figure", validate_default=True
    )
    """The published figure as the number to reach, or as the estimate that it is, with its own half_width."""
    margin: Annotated[Number, Field(ge=0)] = Field(default=None, validate_default=True)
    """How much worse is still the same. Default: the published half-width, else one standard deviation of the
    reference's seeds; neither is a reason, and ``margin_reason`` says so."""
    margin_reason: Text = Field(default=None, validate_default=True)
    """Why a reproduction that is worse by less than the margin has reproduced the result."""
    checkpoint: Literal["last", "best-on-validation"]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    """The runs of a full ruling."""
    iterations: Count
    examples: Count | None = None
    """How many test examples there are: the planned power of an accuracy is computed from it."""
    quick: Quick | None = None
    evaluate_every: Count = 1000
    checkpoint_every: Count = 1000
    log_every: Count = 100
    data: tuple[Identifier, ...] = ()
    """Names of the data sets needed."""
    notes: str = ""

    @field_validator("range")
    @classmethod
    def _range(cls, value: tuple[float, float] | None, info: ValidationInfo) -> tuple[float, float] | None:
        if value is None and info.data.get("unit") == "accuracy":
            return (0.0, 1.0)
        if value is not None and value[0] >= value[1]:
            raise ValueError("give the least figure first, then a greater one")
        return value

    @field_validator("published")
    @classmethod
    def _published(cls, published: Published | None, info: ValidationInfo) -> Published | None:
        if published is not None:
            if info.data.get("scope") == "scaled":
                raise ValueError(
                    "a scaled claim is never compared with the paper's figure; remove published or use the"
                    " paper's own setting"
                )
            _check_in_range(published.value, info)
        return published

    @field_validator("reference")
    @classmethod
    def _reference(cls, reference: ReferenceRuns | None, info: ValidationInfo) -> ReferenceRuns | None:
        if reference is not None:
            if reference.metric != info.data.get("metric", reference.metric):
                raise ValueError(
                    f"{reference.file} records the metric {reference.metric!r} and the claim is about"
                    f" {info.data['metric']!r}; record that one"
                )
            for value in reference.sample:
                _check_in_range(value, info)
        return reference

    @field_validator("target")
    @classmethod
    def _target(cls, target: float | None, info: ValidationInfo) -> float | None:
        published, reference = info.data.get("published"), info.data.get("reference")
        if target is None and published is not None:
            return published.value
        if target is None and reference is None:
            raise ValueError("there is nothing to reach; give target, published or reference")
        if target is not None:
            _check_in_range(target, info)
        return target

    @field_validator("margin", mode="before")
    @classmethod
    def _margin(cls, margin: Any, info: ValidationInfo) -> Any:
        if margin is not None:
            return margin
        published, reference = info.data.get("published"), info.data.get("reference")
        if published is not None and published.half_width is not None:
            return published.half_width
        try:
            spread = statistics.stdev(reference.sample) if reference is not None else 0.0
        except OverflowError:
            spread = math.inf
        if spread == 0 or not math.isfinite(spread):
            raise ValueError(
                "no margin can be had; give margin, a published half_width, or reference runs that differ"
            )
        return spread

    @field_validator("margin_reason", mode="before")
    @classmethod
    def _margin_reason(cls, reason: Any, info: ValidationInfo) -> Any:
        return NO_REASON if reason is None else reason

    @field_validator("capped")
    @classmethod
    def _capped(cls, capped: bool, info: ValidationInfo) -> bool:
        if capped and info.data.get("range") is None:
            raise ValueError("there is nothing to cap at; give range = [least, greatest]")
        return capped

    @field_validator("compared_with")
    @classmethod
    def _compared_with(cls, said: str, info: ValidationInfo) -> str:
        published = info.data.get("published")
        if said == "estimate" and (
            published is None or published.half_width is None or info.data.get("target") != published.value
        ):
            raise ValueError(
                "an estimate has its own error; give published = { value, half_width, source } and no other target"
            )
        return said

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, seeds: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice; the same run twice is one run")
        if info.data.get("subject") == "weights" and len(seeds) > 1:
            raise ValueError("a claim about weights has one run; give one seed, or subject = 'procedure'")
        return seeds

    @property
    def to_reach(self) -> float:
        """The target; where the recorded reference is the target, the mean of its runs."""
        if self.target is not None:
            return self.target
        assert self.reference is not None  # noqa: S101 - the target's check asks for one of both
        return statistics.fmean(self.reference.sample)

    def show(self, figure: float) -> str:
        """A figure, or a difference of figures, as people read it: ``98.70 %`` or ``0.4211``."""
        return f"{100 * figure:.2f} %" if self.display == "percent" else f"{figure:.4g}"


class Paper(_Part):
    """A paper and its claims."""

    id: Identifier
    title: Text
    authors: Annotated[tuple[Text, ...], Field(min_length=1)]
    venue: Text
    year: Annotated[int, Field(strict=True, ge=1900, le=2100)]
    url: Annotated[str, Field(pattern=r"^https?://[^\s<>\"']+$")]
    reference: Reference | None = None
    claims: Annotated[tuple[Claim, ...], Field(alias="claim", min_length=1)]
    folder: Path
    """Where the paper.toml lies; not a field of the file."""

    @field_validator("claims")
    @classmethod
    def _ids_differ(cls, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        seen: set[str] = set()
        for claim in claims:
            if claim.id in seen:
                raise ValueError(f"two claims are called {claim.id!r}; rename one")
            seen.add(claim.id)
        return claims

    def claim(self, id: str) -> Claim:
        """The claim of that id. Raises InputError with the known ones."""
        for claim in self.claims:
            if claim.id == id:
                return claim
        known = ", ".join(claim.id for claim in self.claims)
        raise InputError(f"{self.id} has no claim {id!r}; it has: {known}.")


def load_paper(path: Path) -> Paper:
    """The paper of a ``paper.toml``, given the file or its folder.

    Raises InputError, naming file, line and field, for anything that is missing, unknown or contradictory.
    """
    file = path / "paper.toml" if path.is_dir() else path
    toml = load_toml(file, "a paper.toml")
    data = dict(toml.data)
    if "folder" in data:
        raise toml.error(("folder",), "is not a known field; remove it")
    if isinstance(data.get("claim"), list):
        data["claim"] = with_recorded_runs(toml)
    try:
        return Paper.model_validate({**data, "folder": file.parent})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise toml.error(first["loc"], in_words(first)) from error


def _check_in_range(figure: float, info: ValidationInfo) -> None:
    bounds = info.data.get("range")
    if bounds is not None and not bounds[0] <= figure <= bounds[1]:
        raise ValueError(
            f"{figure:g} lies outside the metric's range, {bounds[0]:g} to {bounds[1]:g}; give figures in the"
            " metric's own unit (a fraction, not per cent)"
        )


def with_recorded_runs(toml: TomlFile) -> list[Any]:
    """The [[claim]] tables of a file, each ``reference = {file = ...}`` filled with what that file records.

    Raises InputError for a record that cannot be read.
    """
    return [_with_recorded_run(toml, number, claim) for number, claim in enumerate(toml.data["claim"])]


def _with_recorded_run(toml: TomlFile, number: int, claim: Any) -> Any:
    if not isinstance(claim, dict) or not isinstance(claim.get("reference"), dict):
        return claim
    place = ("claim", number, "reference")
    table = claim["reference"]
    for key in table:
        if key != "file":
            raise toml.error((*place, key), "is not a known field; give file alone")
    name = table.get("file")
    if not isinstance(name, str):
        raise toml.error((*place, "file"), "give the path of the recorded runs, a JSON file")
    folder = toml.path.parent
    recording = folder / name
    if not recording.resolve().is_relative_to(folder.resolve()):
        raise toml.error((*place, "file"), "leads out of the paper's folder; keep it inside")
    text = read_text(recording, "the recorded reference runs that paper.toml names")
    try:
        recorded = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{recording}: this is not JSON ({error}); record the reference again.") from error
    if not isinstance(recorded, dict):
        raise InputError(f"{recording}: this is not a JSON object; record the reference again.")
    try:
        runs = ReferenceRuns.model_validate({**recorded, "file": name})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{recording}: field {field!r}: {in_words(first)}.") from error
    return {**claim, "reference": runs}
