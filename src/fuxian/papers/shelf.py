"""Finds papers, their claims and their recipes by name: ``maml`` or ``maml/sinusoid-10shot``."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from fuxian.errors import InputError
from fuxian.paper import Claim, Paper, load_paper

_HERE = Path(__file__).parent


def papers() -> list[Paper]:
    """Every reproduced paper, by id."""
    return [load_paper(file) for file in sorted(_HERE.glob("*/paper.toml"))]


def find(name: str) -> tuple[Paper, Claim]:
    """The paper and claim that ``PAPER/CLAIM`` names; the paper's first claim for ``PAPER`` alone.

    Raises InputError with what there is.
    """
    paper_id, _, claim_id = name.partition("/")
    shelf = {paper.id: paper for paper in papers()}
    if paper_id not in shelf:
        known = ", ".join(shelf)
        raise InputError(f"there is no paper {paper_id!r} here; there is: {known} (see `fuxian papers`).")
    paper = shelf[paper_id]
    return paper, paper.claim(claim_id) if claim_id else paper.claims[0]


def part(paper: Paper, name: str) -> ModuleType:
    """A module of a paper's folder, such as ``recipe``."""
    return importlib.import_module(f"fuxian.papers.{paper.folder.name}.{name}")


def committed_weights(paper: Paper, claim: Claim) -> Path:
    """Where the paper's folder keeps a claim's trained weights. Raises InputError where there are none."""
    file = paper.folder / "weights" / f"{claim.id}.safetensors"
    if not file.is_file():
        raise InputError(
            f"{paper.id}/{claim.id} has no weights in {file.parent}; train some with"
            f" `fuxian reproduce {paper.id}/{claim.id}` and give them with --weights."
        )
    return file
