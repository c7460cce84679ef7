"""What the address of the board asks for: which papers, in which order, on which day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, field_validator

KEYS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "number": lambda line: line["number"],
    "title": lambda line: line["title"].casefold(),
    "stars": lambda line: line["stars"],
    "registered": lambda line: line["registered"],
    "submissions": lambda line: line["submissions"],
    "state": lambda line: line["state"],
    "won": lambda line: line["winner"]["at"] if line["winner"] else "9999",
}
"""What the board can be sorted by."""


class BoardQuery(BaseModel):
    """Part of the board's address."""

    model_config = ConfigDict(frozen=True)

    day: date | None = None
    search: Annotated[str, Field(max_length=100)] = ""
    state: Literal["", "open", "won", "not_public"] = ""
    stars: Annotated[int, Field(ge=0, le=5)] = 0
    sort: Annotated[str, Field(pattern=rf"^-?({'|'.join(KEYS)})$")] = "number"

    @field_validator("day", mode="before")
    @classmethod
    def _empty_is_today(cls, value: Any) -> Any:
        # A form sends an empty field where nothing was chosen.
        return None if value == "" else value

    @field_validator("stars", mode="before")
    @classmethod
    def _empty_is_any(cls, value: Any) -> Any:
        return 0 if value == "" else value

    def address(self, path: str, **changes: Any) -> str:
        """The path with what differs from the default."""
        asked = self.model_copy(update=changes).model_dump(exclude_defaults=True, mode="json")
        return f"{path}?{urlencode(asked)}" if asked else path

    def order(self, key: str) -> Literal["ascending", "descending", "none"]:
        """As aria-sort says it."""
        if self.sort.removeprefix("-") != key:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"

    def turned(self, key: str) -> str:
        """What the button of a column asks for."""
        return f"-{key}" if self.sort == key else key


def chosen(lines: list[dict[str, Any]], query: BoardQuery) -> list[dict[str, Any]]:
    """The lines of the board that the query is after, in its order."""
    word = query.search.casefold().strip()
    kept = [
        line
        for line in lines
        if (not query.state or line["state"] == query.state)
        and (not query.stars or line["stars"] == query.stars)
        and (not word or word in f"{line['number']} {line['id']} {line['title']}".casefold()
             or (line["winner"] and word in line["winner"]["name"].casefold()))
    ]  # fmt: skip
    key = KEYS[query.sort.removeprefix("-")]
    return sorted(kept, key=key, reverse=query.sort.startswith("-"))
