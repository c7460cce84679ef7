"""Weights of a paper: committed files, and the larger ones that ``weights/weights.toml`` says where to get.

    [[weights]]
    name = "bccd"                 # a claim's id: its trained weights; any other name: official or starting weights
    url = ["https://example.org/bccd.safetensors", "file:///srv/weights/bccd.safetensors"]
    sha256 = "0c7e..."            # of the file
    bytes = 61234567
    licence = "Apache-2.0"
    source = "trained with `fuxian reproduce sparse-rcnn/bccd` on BCCD (MIT)"

The first url that can be reached wins; whatever comes is checked. Files of at most 5 MB are committed instead, as
``weights/<claim>.safetensors``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fuxian.datasets.catalogue import SCHEMES
from fuxian.datasets.root import cache_folder
from fuxian.errors import InputError
from fuxian.paper import Paper
from fuxian.toml_files import in_words, load_toml

FILE = "weights.toml"
LARGEST_COMMITTED = 5_000_000
"""Bytes of one file."""


class WeightsEntry(BaseModel):
    """A file of weights that is not committed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)]
    url: Annotated[tuple[str, ...], Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(strict=True, gt=0)]
    licence: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    """Who trained it, on what, with which command."""

    @field_validator("url", mode="before")
    @classmethod
    def _one_or_more(cls, url: object) -> object:
        return (url,) if isinstance(url, str) else url

    @field_validator("url")
    @classmethod
    def _known_kinds(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if urlsplit(url).scheme not in SCHEMES:
                raise ValueError(f"{url[:60]!r} is no https://, http:// or file:// address; give one")
        return urls

    @property
    def file_name(self) -> str:
        """Its own name with the ending that the first url has."""
        return self.name + PurePosixPath(unquote(urlsplit(self.url[0]).path)).suffix


def weights_entries(paper: Paper) -> dict[str, WeightsEntry]:
    """The entries of a paper's weights.toml, by name; none where there is no such file."""
    file = paper.folder / "weights" / FILE
    if not file.exists():
        return {}
    toml = load_toml(file, "a paper's weights.toml")
    tables = toml.data.get("weights")
    if set(toml.data) != {"weights"} or not isinstance(tables, list):
        raise InputError(f"{file}: there are other things than [[weights]] tables in it; remove them.")
    entries: dict[str, WeightsEntry] = {}
    for number, table in enumerate(tables):
        try:
            entry = WeightsEntry.model_validate(table)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise toml.error(("weights", number, *first["loc"]), in_words(first)) from error
        if entry.name in entries:
            raise toml.error(("weights", number, "name"), f"{entry.name!r} stands twice; rename one")
        entries[entry.name] = entry
    return entries


def weights_folder(paper: Paper) -> Path:
    """Where downloaded weights of a paper are kept: in the user's cache folder."""
    return cache_folder() / "weights" / paper.id


def weights_of(paper: Paper, name: str) -> Path:
    """The file of a claim's trained weights, or of another entry: the committed one, else the downloaded one.

    Raises InputError, with the command that gets or makes it, where it is not there.
    """
    committed = paper.folder / "weights" / f"{name}.safetensors"
    if committed.is_file():
        return committed
    entry = weights_entries(paper).get(name)
    if entry is None:
        raise InputError(
            f"{paper.id}/{name} has no weights in {committed.parent}; train some with"
            f" `fuxian reproduce {paper.id}/{name}` and give them with --weights."
        )
    file = weights_folder(paper) / entry.file_name
    if not file.is_file():
        raise InputError(
            f"{paper.id}/{name} has weights of {entry.bytes / 1e6:.1f} MB that are not here yet; get them with"
            f" `fuxian weights get {paper.id}/{name}`, or put them at {file}."
        )
    return file


def get_weights(
    paper: Paper, name: str, report: Callable[[int, int | None], None] = lambda done, total: None
) -> Path:
    """The checked file of an entry of weights.toml, downloaded if it is not here or another one.

    A mirror that ``FUXIAN_MIRROR`` names (with weights/PAPER/FILE below it) is tried first, then the entry's addresses.

    Raises InputError for an unknown name, PlatformError where no address gives the file.
    """
    # httpx takes time to import, and only this needs it.
    from fuxian.datasets.download import Download, mirrored, receive

    entries = weights_entries(paper)
    if name not in entries:
        committed = paper.folder / "weights" / f"{name}.safetensors"
        if committed.is_file():
            return committed
        known = ", ".join(entries) or "none"
        raise InputError(
            f"{paper.id} has no weights called {name!r} to get; its weights.toml names: {known}."
        )
    entry = entries[name]
    file = weights_folder(paper) / entry.file_name
    if file.is_file() and _is(file, entry):
        return file

    def check(part: Path) -> None:
        if not _is(part, entry):
            raise InputError(
                f"it has {part.stat().st_size} bytes and another sha256 than the {entry.bytes} bytes that {FILE} names;"
            )

    receive(
        Download(
            urls=(*mirrored(f"weights/{paper.id}/{entry.file_name}"), *entry.url),
            target=file,
            bytes=entry.bytes,
            check=check,
            what=f"the file of {entry.bytes / 1e6:.1f} MB with sha256 {entry.sha256[:12]}... elsewhere",
            folder_option="name a cache folder with XDG_CACHE_HOME",
        ),
        report,
    )
    return file


def _is(file: Path, entry: WeightsEntry) -> bool:
    if file.stat().st_size != entry.bytes:
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == entry.sha256
