import string

import pytest

from fuxian.errors import InputError
from fuxian.report.language import LANGUAGES, catalogue, translator


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_keys_and_placeholders(lang: str) -> None:
    english, other = catalogue("en"), catalogue(lang)
    assert list(other) == list(english)
    assert {key: placeholders(text) for key, text in other.items()} == {
        key: placeholders(text) for key, text in english.items()
    }
    assert all(text.strip() for text in other.values())


def test_chinese_is_chinese() -> None:
    same = {key for key, text in catalogue("zh").items() if text == catalogue("en")[key]}
    assert same == {"col_n"}


def test_say_fills_placeholders_and_leaves_braces_in_values_alone() -> None:
    assert translator("en")("seed_name", seed="{0}") == "seed {0}"


def test_an_unknown_language_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"'fr'; choose one of en, zh"):
        translator("fr")
