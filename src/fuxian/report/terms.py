"""What papers and rulings say in English, in another language: whole sentences and labels, looked up as they stand.

A glossary is a TOML file of ``"English" = "translation"``. Numbers are ``#`` in the English, and ``{0}``, ``{1}`` in
the translation, in the order of the English. The sentences of rulings are in ``catalogue/terms_<language>.toml``; what
a paper says, its titles, labels and reasons, in ``terms_<language>.toml`` beside its paper.toml.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from fuxian.errors import InputError
from fuxian.toml_files import load_toml

Term = Callable[[str], str]
"""``term(text)``: the text in the report's language, as it is where no glossary has it."""

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?: %)?")
_JOINTS = (("; ", "；"), (": ", "："), (", and ", "，且"))
"""Where a sentence that is in no glossary is taken apart, and what joins its parts again."""


def glossary(lang: str, paper: Path | None = None) -> Term:
    """The glossary of a language, with the one that the folder of ``paper`` holds.

    Raises InputError for a malformed file.
    """
    if lang == "en":
        return lambda text: text
    known = _shared(lang)
    own = None if paper is None else paper / f"terms_{lang}.toml"
    if own is not None and own.is_file():
        known = known | _of(own)
    return lambda text: _translated(text, known)


@lru_cache
def _shared(lang: str) -> dict[str, str]:
    return _of(Path(str(files("fuxian.report").joinpath("catalogue", f"terms_{lang}.toml"))))


def _of(file: Path) -> dict[str, str]:
    data = load_toml(file, "a glossary of terms").data
    for english, other in data.items():
        if not isinstance(other, str):
            raise InputError(f"{file}: {english!r} is no text; write its translation.")
    return {english: str(other) for english, other in data.items()}


def _translated(text: str, known: dict[str, str]) -> str:
    if text in known:
        return known[text]
    template = known.get(_NUMBER.sub("#", text))
    if template is not None:
        try:
            return template.format(*_NUMBER.findall(text))
        except (IndexError, KeyError, ValueError) as error:
            raise InputError(
                f"the glossary's translation {template!r} asks for more numbers than there are."
            ) from error
    for joint, joined in _JOINTS:
        parts = text.split(joint)
        if len(parts) > 1:
            others = [_translated(part, known) for part in parts]
            if others != parts:
                return joined.join(others)
    return text
