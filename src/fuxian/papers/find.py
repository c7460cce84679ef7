"""Finds papers and their claims by name: ``maml``, ``maml/sinusoid-10shot``, ``./my-paper``, ``./my-paper/a-claim``."""

from __future__ import annotations

from pathlib import Path

from fuxian.errors import InputError
from fuxian.paper import Claim, load_paper
from fuxian.papers.contract import PAPERS, PaperFolder


def reproduced_papers() -> list[PaperFolder]:
    """Every paper that Fuxian has reproduced, by id."""
    found = [PaperFolder(load_paper(file)) for file in PAPERS.glob("*/paper.toml")]
    return sorted(found, key=lambda folder: folder.paper.id)


def find_entry(name: str) -> tuple[PaperFolder, str]:
    """The paper and what ``fuxian align`` compares of it: ``PAPER/ENTRY`` or ``DIR/ENTRY``, the first if none is named.

    Raises InputError with what there is.
    """
    folder, entry = _find(name)
    return folder, entry or folder.align_entries[0]


def find_weights(name: str) -> tuple[PaperFolder, str]:
    """The paper and the name of weights in ``PAPER/NAME`` or ``DIR/NAME``; "" where none is named."""
    return _find(name)


def find_claim(name: str) -> tuple[PaperFolder, Claim]:
    """The paper and claim of ``PAPER/CLAIM`` or ``DIR/CLAIM``; the first claim of ``PAPER`` or ``DIR`` alone.

    PAPER is the id of a paper that Fuxian has reproduced, DIR any folder with a paper.toml and a recipe.py. An id
    wins over a folder of that name: ``./`` before it means the folder.

    Raises InputError with what there is.
    """
    folder, claim_id = _find(name)
    return folder, folder.paper.claim(claim_id) if claim_id else folder.paper.claims[0]


def _find(name: str) -> tuple[PaperFolder, str]:
    path = Path(name)
    if not name.startswith((".", "/", "~")):
        paper_id, _, claim_id = name.partition("/")
        file = PAPERS / paper_id.replace("-", "_") / "paper.toml"
        if file.is_file() and (folder := PaperFolder(load_paper(file))).paper.id == paper_id:
            return folder, claim_id
    for place, claim_id in ((path.expanduser(), ""), (path.expanduser().parent, path.name)):
        if (place / "paper.toml").is_file():
            if not (place / "recipe.py").is_file():
                raise InputError(f"{place}: there is a paper.toml and no recipe.py; write the recipe.")
            return PaperFolder(load_paper(place)), claim_id
    if path.exists():
        raise InputError(f"{name}: there is no paper.toml; give a folder with paper.toml and recipe.py.")
    known = ", ".join(folder.paper.id for folder in reproduced_papers())
    raise InputError(
        f"there is no paper {name.partition('/')[0]!r} here and no such folder; there is: {known} (see `fuxian"
        " papers`)."
    )
