"""Templates, and what is written in all of them: times, amounts, states, in either language."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

import fuxian
from fuxian.contest.settings import Both, show_time
from fuxian.contest.web import words as said

if TYPE_CHECKING:
    from fuxian.contest.web.visit import Visit

_environment = Environment(
    loader=PackageLoader("fuxian.contest.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def template(name: str) -> Template:
    return _environment.get_template(name)


@cache
def static(name: str) -> str:
    """The address of a static file; another content has another address, so browsers may keep it for good."""
    content = files("fuxian.contest.web").joinpath("static", *name.split("/")).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def words(visit: Visit, done: str | None) -> dict[str, Any]:
    """What every template may use, for one visitor."""
    contest = visit.at.contest
    sentence = said.SAID.get(done or "")
    return {
        "v": visit,
        "t": visit.t,
        "contest": contest,
        "version": fuxian.__version__,
        "static": static,
        "both": lambda text: _both(visit, text),
        "when": lambda moment: when(visit, moment),
        "day": lambda moment: _day(visit, moment),
        "money": lambda amount, currency: _money(visit.language, amount, currency),
        "number": lambda value: _number(visit.language, value),
        "status_word": _pair(visit, said.STATUS),
        "state_word": _pair(visit, said.STATE),
        "reason_word": _pair(visit, said.REASON),
        "word": _pair(visit, said.OTHER),
        "note": lambda text: _note(visit.language, text),
        "tone": lambda state: said.TONE.get(state, "plain"),
        "icon_of": lambda state: said.ICON.get(state, "dot"),
        "said": None if sentence is None else visit.t(*sentence),
        "path": visit.request.url.path,
        "span": lambda seconds: span(visit, seconds),
    }


def _pair(visit: Visit, table: dict[str, tuple[str, str]]) -> Callable[[str], str]:
    return lambda key: visit.t(*table[key]) if key in table else key


def _note(language: str, text: str) -> str:
    """A note in the page's language; as it is where a person wrote it."""
    if language == "zh":
        for pattern, chinese in said.NOTES.items():
            if found := re.fullmatch(pattern, text):
                return found.expand(chinese)
    return text


def _both(visit: Visit, text: Both | dict[str, str] | None) -> str:
    if text is None:
        return ""
    found = text if isinstance(text, dict) else {"zh": text.zh, "en": text.en}
    return found[visit.language]


def _moment(moment: datetime | str) -> datetime:
    return datetime.fromisoformat(moment) if isinstance(moment, str) else moment


def when(visit: Visit, moment: datetime | str | None) -> Markup:
    """A moment in the contest's time zone and, where it differs, in the visitor's."""
    if moment is None:
        return Markup("–")
    there = _moment(moment)
    zone = visit.at.contest.zone
    shown = show_time(there, zone)
    own = "" if visit.zone is None else show_time(there, visit.zone)
    local = ""
    if own and own != shown:
        local = Markup(' <span class="local">{}</span>').format(f"{visit.t('本地', 'yours')} {own}")
    offset = there.astimezone(zone).utcoffset()
    minutes = 0 if offset is None else int(offset.total_seconds()) // 60
    return Markup('<time datetime="{}" data-offset="{}"{}>{}</time>{}').format(
        there.isoformat(timespec="seconds"),
        minutes,
        Markup(" data-own") if own else "",
        shown,
        local,
    )


def _day(visit: Visit, moment: datetime | str) -> str:
    """The date alone, in the contest's time zone."""
    there = _moment(moment).astimezone(visit.at.contest.zone)
    return format_datetime(there, visit.t("M月d日", "d MMM"), locale="zh" if visit.language == "zh" else "en")


@lru_cache(maxsize=1024)
def _money(language: str, amount: int | None, currency: str) -> str:
    """An amount, which is always before tax."""
    if amount is None:
        return "–"
    locale = "zh_CN" if language == "zh" else "en"
    return format_currency(amount, currency, "¤#,##0", locale=locale, currency_digits=False)


@lru_cache(maxsize=4096)
def _number(language: str, value: int) -> str:
    return format_decimal(value, locale=language)


def paragraphs(text: str) -> Markup:
    """A text of somebody's, its line breaks kept."""
    return Markup("<br>").join(escape(text).splitlines())


def span(visit: Visit, seconds: float) -> str:
    """How long, in the two largest units."""
    minutes = max(0, int(seconds)) // 60
    days, rest = divmod(minutes, 24 * 60)
    hours, left = divmod(rest, 60)
    if days:
        return visit.t(f"{days} 天 {hours} 小时", f"{days} d {hours} h")
    if hours:
        return visit.t(f"{hours} 小时 {left} 分钟", f"{hours} h {left} min")
    return visit.t(f"{left} 分钟", f"{left} min")


_environment.filters["paragraphs"] = paragraphs
_environment.filters["stars"] = lambda count: "★" * count
