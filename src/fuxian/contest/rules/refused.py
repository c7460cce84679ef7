"""Why the rules do not allow something, in both languages."""

from __future__ import annotations

from datetime import datetime

from fuxian.errors import InputError


class Refused(InputError):
    """The rules do not allow this. ``code`` is for programs, ``en`` and ``zh`` are for people.

    ``moment`` is when it opened or closed, where that is the reason: whoever shows it can add the reader's own time.
    """

    def __init__(self, code: str, *, en: str, zh: str, moment: datetime | None = None) -> None:
        super().__init__(en)
        self.code = code
        self.en = en
        self.zh = zh
        self.moment = moment
