"""Where data sets and what is derived from them lie on this machine."""

import os
from pathlib import Path

from platformdirs import user_cache_path

from fuxian.errors import InputError

# A checkout has the package at <repository>/src/fuxian; an installed wheel does not.
_SOURCE = Path(__file__).resolve().parents[2]


def find_root() -> Path:
    """The folder that holds the data sets, one folder each. It may not exist yet.

    ``FUXIAN_DATA`` if it is set; else, in a development checkout, ``../shared/data`` beside the
    repository if it is there; else ``data`` in the user's cache folder.

    Raises:
        InputError: ``FUXIAN_DATA`` names something that is not a folder.
    """
    if chosen := os.environ.get("FUXIAN_DATA"):
        root = Path(chosen).expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise InputError(f"FUXIAN_DATA names {root}, which is not a folder; set it to the data folder.")
        return root
    shared = _SOURCE.parent.parent / "shared" / "data"
    if _SOURCE.name == "src" and (_SOURCE.parent / "pyproject.toml").is_file() and shared.is_dir():
        return shared
    return cache_folder() / "data"


def cache_folder() -> Path:
    """The user's cache folder of Fuxian. It may not exist yet; all in it can be made again."""
    return user_cache_path("fuxian", appauthor=False)
