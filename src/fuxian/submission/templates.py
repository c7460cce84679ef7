"""The files that `fuxian new` and `fuxian package` write, filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

FOLDER = Path(__file__).parent / "template"
OFFICIAL = FOLDER / "official"
REPRODUCTION = FOLDER / "reproduction"
"""A toy task, whole, to be replaced part by part."""
REPRODUCED = FOLDER / "reproduced"
"""A paper of Fuxian's own: its recipe, imported."""

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER),
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - plain text and Markdown, for a repository
)


def render(name: str, **values: Any) -> str:
    """A template by its path below ``template/``."""
    return _environment.get_template(name).render(values)


def with_licence_header(text: str, *, year: int, team: str) -> str:
    """Code with the Apache header on top, below a ``#!`` line."""
    header = render("official/licence_header.txt", year=year, team=team)
    if text.startswith("#!"):
        first, _, rest = text.partition("\n")
        return f"{first}\n{header}\n{rest}"
    return f"{header}\n{text}"
