"""Contest: what an organiser decides once, read from a ``contest.toml``: dates, papers, limits, prizes, texts.

All of it is data, so that another challenge is another file. Times carry their offset; texts stand in Chinese and
English.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from fuxian.errors import InputError
from fuxian.toml_files import in_words, load_toml

FILE_NAME = "contest.toml"
EXAMPLES = Path(__file__).parent / "examples"

Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
Count = Annotated[int, Field(strict=True, gt=0)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s<>\"']+$", max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Both(_Part):
    """A text in both languages."""

    zh: Text
    en: Text


class Schedule(_Part):
    """When what is open. Each is a moment with its offset."""

    opens: AwareDatetime
    """Registration and submission open."""
    teams_freeze: AwareDatetime
    """From here on no hand-over, dissolving, removing, leaving or merging."""
    registration_closes: AwareDatetime
    submission_closes: AwareDatetime
    results: AwareDatetime
    final: AwareDatetime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        names = ("opens", "teams_freeze", "registration_closes", "submission_closes", "results", "final")
        moments = [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]
        for (earlier, first), (later, second) in pairwise(moments):
            if first >= second:
                raise ValueError(f"{later} comes after {earlier}; mend one of the two")
        return self


class Limits(_Part):
    """Numbers that are published before the first submission."""

    team_size: Count = 5
    attempts_per_paper: Count = 3
    """K. Every ruling counts; failures of the platform do not."""
    attempts_per_day: Count = 3
    """Submissions of a team in one day of the contest's time zone, over all papers."""
    looks_per_attempt: Count = 2
    """An inconclusive ruling goes to fresh examples or seeds until so many were looked at, then to a person."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a port at the edge is accepted, over all attempts of a team on a paper."""
    ruling_days: Count = 3
    """A submission that waits longer is shown as late, to everyone."""
    challenge_days: Count = 7
    """For so long after a ruling it can be challenged or appealed."""

    @property
    def alpha_per_look(self) -> float:
        """Bonferroni: what one look may spend."""
        return self.alpha / (self.attempts_per_paper * self.looks_per_attempt)


class Milestone(_Part):
    """What the reference itself should give: the figure that the reference run is compared with."""

    metric: Text
    value: float
    tolerance: Annotated[float, Field(ge=0)]


class Paper(_Part):
    """One paper of the challenge."""

    number: Count
    id: Identifier
    title: Text
    stars: Annotated[int, Field(ge=1, le=5)]
    names: tuple[Text, ...] = ()
    """Other names by which a repository's README may name it."""
    public: bool = True
    """False: the title is not published; nobody can register for it."""
    stand_in: bool = False
    """It stands for a paper that is not public."""
    claim: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")] | None = None
    """PAPER/CLAIM of Fuxian, whose default terms rule."""
    terms: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*$")] | None = None
    """A terms file beside the contest.toml, in place of the default ones."""
    issued_seed: bool = False
    """Whether the training must begin from the seed that was issued at registration, in place of the claim's.

    Teams are shown a seed only where it must.
    """
    issue: Url | None = None
    url: Url | None = None
    note: Both | None = None
    milestone: Milestone | None = None

    @property
    def judged(self) -> bool:
        """Whether its criterion is published, so that submissions can be ruled on."""
        return self.public and (self.claim is not None or self.terms is not None)


class PrizeAmount(_Part):
    stars: Annotated[int, Field(ge=1, le=5)]
    amount: Count
    """In the currency's unit, before tax."""


class Prizes(_Part):
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    by_stars: tuple[PrizeAmount, ...] = ()
    pool: Count | None = None
    """What the finalists of all tracks share in the final."""
    note: Both | None = None


class Deliverable(_Part):
    """What a paper's first hands in before its prize is paid."""

    id: Identifier
    title: Both
    due: AwareDatetime


class Criterion(_Part):
    """One line of the final's rubric."""

    id: Identifier
    title: Both
    weight: Annotated[float, Field(gt=0)]
    most: Annotated[float, Field(gt=0)] = 100.0


class Titled(_Part):
    title: Both
    text: Both | None = None


class Entitlement(Titled):
    id: Identifier


class Course(_Part):
    title: Both
    field: Both
    at: AwareDatetime | None = None
    url: Url | None = None


class Slot(_Part):
    """One line of the final's programme."""

    at: AwareDatetime
    title: Both


class Final(_Part):
    place: Both
    note: Both | None = None
    rubric: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    entitlement: tuple[Entitlement, ...] = ()
    programme: tuple[Slot, ...] = ()
    other_finalists: tuple[Titled, ...] = ()
    """Finalists of the competition's other tracks."""


class Site(_Part):
    """A site on which a participant registers besides; the names given there must agree."""

    id: Identifier
    title: Both
    url: Url | None = None
    required: bool = True


class Sources(_Part):
    """Where submissions may come from."""

    https: bool = True
    """A repository's address and a commit, fetched by the server."""
    uploads: bool = False
    """A git bundle that the entrant uploads: for contests of a class, where nobody can reach a repository."""
    readme: bool = True
    """Whether registration needs a repository whose README names the paper."""
    mail: bool = True
    """Whether a submission in the old thread needs the mail besides."""


class Contest(_Part):
    """A whole contest."""

    id: Identifier
    title: Both
    about: Both
    timezone: Text
    home: Url | None = None
    thread: Url | None = None
    host: tuple[Both, ...] = ()
    organiser: tuple[Both, ...] = ()
    contact: Text | None = None
    example: bool = False
    schedule: Schedule
    limits: Limits = Limits()
    sources: Sources = Sources()
    paper: Annotated[tuple[Paper, ...], Field(min_length=1)]
    prizes: Prizes = Prizes()
    deliverable: tuple[Deliverable, ...] = ()
    final: Final | None = None
    site: tuple[Site, ...] = ()
    step: tuple[Titled, ...] = ()
    rule: tuple[Titled, ...] = ()
    course: tuple[Course, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone; give one such as 'Asia/Shanghai'") from error
        return value

    @field_validator("paper")
    @classmethod
    def _papers_differ(cls, papers: tuple[Paper, ...]) -> tuple[Paper, ...]:
        _once([paper.id for paper in papers], "id")
        _once([paper.number for paper in papers], "number")
        return papers

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def find_paper(self, name: str | int) -> Paper:
        """By id or number. Raises InputError with what there is."""
        for paper in self.paper:
            if name in (paper.id, paper.number) or str(name) == str(paper.number):
                return paper
        known = ", ".join(f"{paper.number} {paper.id}" for paper in self.paper if paper.public)
        raise InputError(f"the contest has no paper {str(name)[:60]!r}; it has: {known}.")

    def prize(self, paper: Paper) -> int | None:
        """The amount for a paper's first, before tax."""
        return next((prize.amount for prize in self.prizes.by_stars if prize.stars == paper.stars), None)

    def show(self, moment: datetime) -> str:
        """In the contest's own time zone, with its offset: ``2021-09-24 23:59 (GMT+8)``."""
        return show_time(moment, self.zone)


def show_time(moment: datetime, zone: ZoneInfo) -> str:
    """As people read it, with the offset."""
    there = moment.astimezone(zone)
    offset = there.utcoffset()
    minutes = 0 if offset is None else int(offset.total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"{there:%Y-%m-%d %H:%M} (GMT{sign}{hours}{f':{rest:02d}' if rest else ''})"


def _once(names: Iterable[object], what: str) -> None:
    seen: set[object] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two papers have the {what} {name!r}; change one")
        seen.add(name)


def load_contest(path: Path) -> Contest:
    """The contest of a ``contest.toml``, given the file or its folder.

    Raises InputError, naming file, line and field, for anything that is missing, unknown or contradictory.
    """
    file = path / FILE_NAME if path.is_dir() else path
    toml = load_toml(file, f"a {FILE_NAME}")
    try:
        contest = Contest.model_validate(toml.data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise toml.error(first["loc"] or ("id",), in_words(first)) from error
    for number, paper in enumerate(contest.paper):
        if paper.terms is not None and ".." in paper.terms.split("/"):
            raise toml.error(
                ("paper", number, "terms"), "leads out of the contest's folder; put the file there"
            )
    return contest


def digest(file: Path) -> str:
    """The sha256 of a contest.toml: the first event names it, so that the rules cannot change unseen."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


Example = Literal["2021", "class"]


def example_file(name: str) -> Path:
    """The contest.toml of an example. Raises InputError with what there is."""
    known = sorted(folder.name for folder in EXAMPLES.iterdir() if (folder / FILE_NAME).is_file())
    if name not in known:
        raise InputError(f"there is no example contest {name[:60]!r}; there is: {', '.join(known)}.")
    return EXAMPLES / name / FILE_NAME
