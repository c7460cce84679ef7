"""Why the rules do not allow something, in both languages."""

from __future__ import annotations

from fuxian.errors import InputError


class Refused(InputError):
    """The rules do not allow this. ``code`` is for programs, ``en`` and ``zh`` are for people."""

    def __init__(self, code: str, *, en: str, zh: str) -> None:
        super().__init__(en)
        self.code = code
        self.en = en
        self.zh = zh
