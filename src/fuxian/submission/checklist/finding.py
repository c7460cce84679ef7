"""One line of the checklist."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["pass", "fail", "waived", "not_applicable"]


@dataclass(frozen=True)
class Result:
    """What one check found. ``file`` is relative to the submission; ``mend`` says what to do about a failure."""

    status: Literal["pass", "fail", "not_applicable"]
    what: str
    file: str | None = None
    line: int | None = None
    mend: str = ""


@dataclass(frozen=True)
class Finding:
    """A result with the line of the checklist it belongs to. All texts are printable."""

    id: str
    title: str
    status: Status
    file: str | None
    line: int | None
    what: str
    mend: str

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def passed(what: str, file: str | None = None) -> Result:
    return Result("pass", what, file)


def failed(what: str, mend: str, file: str | None = None, line: int | None = None) -> Result:
    return Result("fail", what, file, line, mend)


def not_applicable(why: str) -> Result:
    return Result("not_applicable", why)


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: list[str], most: int = 5) -> str:
    """``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
