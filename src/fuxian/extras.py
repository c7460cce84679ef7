"""Packages that come with an extra of Fuxian's: asked for where they are used, and how they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from fuxian.errors import InputError
from fuxian.invocation import program


def need(extra: str, packages: Sequence[str], what: str) -> None:
    """Raises InputError where a package is missing; ``what`` begins the sentence: it names what needs them."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{what} needs {' and '.join(missing)}, which {verb} not installed: {how_to_install(extra)}."
        )


def how_to_install(extra: str) -> str:
    """Half a sentence. Fuxian is on no index, so an extra is installed from its folder."""
    return f"type {program('pip')} install -e '.[{extra}]' in Fuxian's folder"
