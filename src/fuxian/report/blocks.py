"""What a report page is made of: tables, pictures and their legends, as the template takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Key:
    """One entry of a picture's legend; `dashes` and `width` are a line's."""

    text: str
    colour: str = "ink"
    mark: Literal["line", "zone", "dot"] = "line"
    dashes: tuple[float, ...] = ()
    width: float = 2


@dataclass(frozen=True)
class Picture:
    """A figure of the page: its title, the same in words for those who cannot see it, and the SVG itself."""

    title: str
    alt: str
    svg: str
    legend: list[Key]
    name: str = ""
    """In a word, where it is one of several to choose from."""


@dataclass(frozen=True)
class Table:
    """Cells are text, or markup that is safe already. In a table of "words" they wrap anywhere."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    kind: Literal["figures", "words"] = "figures"
