"""The report's sentences: one TOML catalogue per language, with the same keys and placeholders."""

import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from fuxian.errors import InputError

LANGUAGES = ("en", "zh")

Say = Callable[..., str]
"""`say(key, **values)`: the sentence of that key with its placeholders filled."""


@cache
def catalogue(lang: str) -> dict[str, str]:
    """Every sentence of a language by key. InputError for a language without a catalogue."""
    if lang not in LANGUAGES:
        raise InputError(
            f"There are no sentences in the language {lang!r}; choose one of {', '.join(LANGUAGES)}."
        )
    text = files("fuxian.report").joinpath("catalogue", f"{lang}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def translator(lang: str) -> Say:
    """The sentences of a language as a function. InputError for a language without a catalogue."""
    sentences = catalogue(lang)

    def say(key: str, /, **values: object) -> str:
        return sentences[key].format(**values)

    return say


def unit_of(count: int, unit: str, say: Say) -> str:
    """What is counted, in the singular where it is one."""
    return say(f"unit_{unit}_one" if count == 1 else f"unit_{unit}")
