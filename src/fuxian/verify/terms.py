"""The organiser's terms: all that a ruling depends on beside the submission. Nothing a submission states replaces any.

A terms file is TOML, and every line but ``paper`` has a default::

    paper = "maml"                    # an id of `fuxian papers`, or a folder with paper.toml, recipe.py and draw.py
    claim = "omniglot-5way-1shot"     # of that paper; its first if absent
    must_pass = ["check", "control"]  # the other steps may be not applicable; absent: every step must pass
    waive = ["tipc"]                  # lines of the checklist that are not asked for
    test = "drawn"                    # or "public": the paper's fixed test split, whose labels anyone can look up
    units = 300                       # at least; absent: as many as the paper draws
    lowest_rung = 2                   # see RUNGS
    starting_weights = ["<sha256>"]   # files that a training may start from
    known_weights = ["theirs.safetensors"]   # weights that must not be handed in as one's own
    intervals = 2                     # of the chain of checkpoints, replayed
    steps_replayed = 10               # of the first logged steps, replayed from the seed
    attempts = 3                      # published beforehand: each is ruled on at alpha / attempts
    overlay = "for-old-repository"    # a folder whose files (fuxian.toml, adapters) replace the submission's

    [limits]
    minutes = 600                     # of the whole verification
    memory = 6                        # GiB of any one command
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from fuxian.errors import InputError
from fuxian.paper import Claim, Identifier, Paper, Seed, Text, load_paper
from fuxian.papers.find import find_claim
from fuxian.submission.checklist import CHECKS, UNWAIVABLE
from fuxian.toml_files import TomlFile, in_words, load_toml

StepName = Literal["check", "origin", "control", "training", "replay", "chain"]
STEPS: tuple[StepName, ...] = ("check", "origin", "control", "training", "replay", "chain")
"""Steps that terms may excuse where they do not apply. A failure is never excused."""
RUNGS = {
    1: "the submitted weights in the organiser's own model",
    2: "the exported network, run by the organiser",
    3: "the submission's own predict in the sandbox, inputs only",
}
"""Where a ruling's figure may come from, strongest first."""
NAMES = frozenset(
    {
        "id",
        "title",
        "display",
        "notes",
        "margin_reason",
        "examples",
        "quick",
        "evaluate_every",
        "checkpoint_every",
        "log_every",
    }
)
"""Fields of a claim that do not say what is claimed."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(strict=True, gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TermsLimits(_Part):
    """What a verification may use."""

    minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60, allow_inf_nan=False)] = 24 * 60.0
    """Of the whole verification."""
    memory: Annotated[int, Field(strict=True, ge=1, le=1024)] = 6
    """GiB of any one command."""
    cpus: Annotated[float, Field(gt=0, le=1024, allow_inf_nan=False)] = 2.0


class Terms(_Part):
    """What a submission is ruled on by. See the module for the file."""

    paper: Identifier
    """The id of the organiser's paper."""
    claim: Claim
    """The organiser's copy."""
    must_pass: tuple[StepName, ...] = STEPS
    waive: tuple[Identifier, ...] = ()
    test: Literal["drawn", "public"] = "drawn"
    units: Positive | None = None
    """How many units of the metric (episodes, pictures) are drawn at least; None: all that the paper draws."""
    lowest_rung: Literal[1, 2, 3] = 3
    seeds: tuple[Seed, ...] = ()
    """Seeds issued for the training. Empty: the claim's."""
    starting_weights: tuple[Sha256, ...] = ()
    known_weights: tuple[Text, ...] = ()
    """Paths of files beside the terms."""
    intervals: Positive = 2
    steps_replayed: Positive = 10
    """How many logged steps are replayed from the initial state."""
    attempts: Positive = 1
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance of a wrong acceptance, all attempts together."""
    overlay: Text | None = None
    limits: TermsLimits = TermsLimits()

    _folder: Path = PrivateAttr()
    _place: Path = PrivateAttr()

    @field_validator("waive")
    @classmethod
    def _can_be_waived(cls, waive: tuple[str, ...]) -> tuple[str, ...]:
        for name in waive:
            if name not in CHECKS or name in UNWAIVABLE:
                known = ", ".join(name for name in CHECKS if name not in UNWAIVABLE)
                raise ValueError(f"{name!r} is no line of the checklist that can be waived ({known})")
        return waive

    @property
    def paper_folder(self) -> Path:
        """The organiser's folder of the paper: paper.toml, recipe.py, draw.py."""
        return self._folder

    @property
    def known_files(self) -> list[Path]:
        """Files of known weights, on this machine."""
        return [self._place / name for name in self.known_weights]

    @property
    def overlay_folder(self) -> Path | None:
        return None if self.overlay is None else self._place / self.overlay

    @property
    def alpha_per_attempt(self) -> float:
        return self.alpha / self.attempts

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, without any path of this machine."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """The sha256 of the terms, as evidence names them."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def of_paper(cls, paper: Paper, claim: Claim) -> Terms:
        """The default terms of a claim: everything must be shown."""
        return _placed(cls(paper=paper.id, claim=claim), paper.folder, paper.folder)


def load_terms(source: str) -> Terms:
    """The terms of a terms file; the default ones of a paper.toml, of a folder with one, or of PAPER/CLAIM.

    Raises InputError, naming file, line and field, for what cannot be terms.
    """
    file = Path(source)
    if file.is_dir() and (file / "paper.toml").is_file():
        file = file / "paper.toml"
    if file.suffix != ".toml" and not file.exists():
        folder, claim = find_claim(source)
        return Terms.of_paper(folder.paper, claim)
    if file.name == "paper.toml":
        paper = load_paper(file)
        return Terms.of_paper(paper, paper.claims[0])
    return _of_file(file)


def _of_file(file: Path) -> Terms:
    toml = load_toml(file, "a terms file")
    data = dict(toml.data)
    paper = _paper(file, toml)
    named = data.get("claim", paper.claims[0].id)
    if not isinstance(named, str):
        raise toml.error(("claim",), f"give the id of a claim of {paper.id}")
    try:
        claim = paper.claim(named)
    except InputError as error:
        raise toml.error(("claim",), str(error).rstrip(".")) from error
    try:
        terms = _placed(
            Terms.model_validate({**data, "paper": paper.id, "claim": claim}), paper.folder, file.parent
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise toml.error(first["loc"], in_words(first)) from error
    for name, path in zip(terms.known_weights, terms.known_files, strict=True):
        if not path.is_file():
            raise toml.error(("known_weights",), f"there is no file {name!r} beside the terms")
    if terms.overlay_folder is not None and not (terms.overlay_folder / "fuxian.toml").is_file():
        raise toml.error(("overlay",), f"{terms.overlay!r} is no folder with a fuxian.toml")
    return terms


def _paper(file: Path, toml: TomlFile) -> Paper:
    named = toml.data.get("paper")
    if not isinstance(named, str) or not named:
        raise toml.error(("paper",), "give an id of `fuxian papers`, or a folder with a paper.toml")
    beside = file.parent / named
    if (beside / "paper.toml").is_file():
        return load_paper(beside / "paper.toml")
    if beside.is_file():
        return load_paper(beside)
    try:
        return find_claim(named)[0].paper
    except InputError as error:
        raise toml.error(("paper",), str(error).rstrip(".")) from error


def _placed(terms: Terms, folder: Path, place: Path) -> Terms:
    terms._folder, terms._place = folder.resolve(), place.resolve()
    return terms


def same_claim(a: Claim, b: Claim) -> list[str]:
    """The fields in which two claims claim something else; none where they are the same claim."""
    ours, theirs = (_content(claim) for claim in (a, b))
    return [name for name in ours if ours[name] != theirs[name]]


def _content(claim: Claim) -> dict[str, Any]:
    content = claim.model_dump(exclude=set(NAMES))
    if claim.reference is not None:
        # Not where it is recorded: what was recorded.
        content["reference"] = sorted(claim.reference.sample)
    if claim.published is not None:
        content["published"] = (claim.published.value, claim.published.half_width)
    return content
