"""Reads the two mails of the old way of taking part: reference run, submission. Parsing only.

The templates are those that ``fuxian package`` fills in, in Chinese and in English.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr, parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

from fuxian.errors import InputError

LARGEST = 30 << 20
MOST_MAILS = 50_000
_SUBJECT = re.compile(
    r"(?:.{0,40}[:：]\s*)?[\[【]\s*(?:论文复现|Paper reproduction)\s*[\]】]\s*[\[【]\s*(?P<number>[\w-]{1,40})\s*[\]】]"
    r"\s*(?P<rest>.{1,200})",
    re.IGNORECASE,
)
_ENDINGS: tuple[tuple[str, Literal["reference", "submission"]], ...] = (
    ("参考代码运行结果", "reference"),
    ("the reference code runs", "reference"),
    ("提交", "submission"),
    ("submission", "submission"),
)
_FIGURES = re.compile(r"(?:预测结果|Predictions)\s*[:：]([^\n]{0,300})")
_NUMBER = re.compile(r"(-?\d{1,12}(?:\.\d{1,12})?)(%?)")
_REPO = re.compile(r"(?:代码仓库|Repository)\s*[:：]\s*(https://\S{1,300})")
_COMMIT = re.compile(r"@([0-9a-f]{40})\b")


@dataclass(frozen=True)
class Letter:
    """One of the two mails."""

    kind: Literal["reference", "submission"]
    paper: str
    """Number or id."""
    team: str
    sender: str
    at: datetime | None
    figure: float | None
    """Of the reference run; a percentage is made a fraction."""
    repo: str | None
    commit: str | None
    source: str
    key: str


@dataclass(frozen=True)
class NotOurs:
    """A mail that is none of the two; why."""

    source: str
    why: str


def read_mails(file: Path) -> list[Letter | NotOurs]:
    """The mails of an .eml or mbox file, or of a folder of .eml files. Raises InputError where there is none."""
    if file.is_dir():
        return [one for part in sorted(file.glob("*.eml"))[:MOST_MAILS] for one in read_mails(part)]
    try:
        if file.stat().st_size > LARGEST:
            raise InputError(f"{file}: at most {LARGEST >> 20} MB of mail at once; split it.")
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: no mail can be read there ({error.strerror}); check the path.") from error
    if raw.startswith(b"From "):
        parts = re.split(rb"(?m)^From [^\n]{0,300}\n", raw)[1:]
        return [
            _letter(part, f"{file.name}, mail {number}") for number, part in enumerate(parts[:MOST_MAILS], 1)
        ]
    return [_letter(raw, file.name)]


def _letter(raw: bytes, source: str) -> Letter | NotOurs:
    try:
        message = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - the policy makes these
        subject = " ".join(str(message.get("Subject", "")).split())[:400]
        body = message.get_body(("plain",))
        text = "" if body is None else str(body.get_content())[:100_000]
        sender = parseaddr(str(message.get("From", "")))[1].lower()[:200]
        said = message.get("Date")
        at = None if said is None else parsedate_to_datetime(str(said))
    except Exception as error:
        # What the standard library makes of a broken mail is not limited to one kind of error.
        return NotOurs(source, f"the mail cannot be read ({type(error).__name__})")
    found = _SUBJECT.fullmatch(subject)
    if found is None:
        return NotOurs(source, f"the subject {subject[:80]!r} is not that of a template")
    rest = found["rest"].rstrip(" .。")
    meant = next(((ending, kind) for ending, kind in _ENDINGS if rest.lower().endswith(ending)), None)
    if meant is None:
        return NotOurs(source, f"the subject {subject[:80]!r} says neither reference run nor submission")
    ending, kind = meant
    team = rest[: -len(ending)].rstrip(" :：")
    if not team:
        return NotOurs(source, "the subject names no team")
    repo, commit = _REPO.search(text), _COMMIT.search(text)
    return Letter(
        kind=kind,
        paper=found["number"],
        team=team,
        sender=sender,
        at=None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)),
        figure=_figure(text),
        repo=None if repo is None else repo[1].rstrip(".,;)").removesuffix(".git"),
        commit=None if commit is None else commit[1],
        source=source,
        key=hashlib.sha256(
            f"{sender}\0{subject}\0{said}\0{text}".encode("utf-8", "surrogatepass")
        ).hexdigest(),
    )


def _figure(text: str) -> float | None:
    """The first number of the line of predictions that is a word of its own: ``accuracy_after_10 98.70 %`` is 0.987."""
    found = _FIGURES.search(text)
    words = [] if found is None else found[1].replace("；", ";").replace(";", " ").split()
    for word, following in pairwise([*words, ""]):
        number = _NUMBER.fullmatch(word)
        if number:
            return float(number[1]) / (100 if number[2] or following == "%" else 1)
    return None
