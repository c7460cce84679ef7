"""A model card: what a trained model is, what it reached and on what, and how to use it. Needs no framework."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fuxian.datasets.catalogue import CATALOGUE
from fuxian.paper import Claim
from fuxian.papers.contract import PaperFolder
from fuxian.papers.verdict_file import shipped_verdict
from fuxian.papers.weights_entries import weights_entries


def model_card(folder: PaperFolder, claim: Claim, weights: Path | None) -> str:
    """The card of a claim's model as Markdown; without ``weights``, of one that has none yet."""
    paper = folder.paper
    name = f"{folder.name}/{claim.id}"
    lines = [
        f"# {name}",
        "",
        f"{claim.title}. A PaddlePaddle reproduction of {', '.join(paper.authors)}: *{paper.title}*, {paper.venue}"
        f" {paper.year} (<{paper.url}>).",
        "",
        "## What it reached",
        "",
        *_reached(folder, claim),
        "",
        "## Data",
        "",
        f"- evaluated on {claim.dataset}, split {claim.split}",
        *(_data(dataset) for dataset in claim.data),
        "",
        "## Weights",
        "",
        *_weights(folder, claim, weights),
        "",
        "## Use",
        "",
        "```python",
        "import fuxian",
        "",
        f'model = fuxian.load("{name}")',
        'model.predict("PATH", "OUT")',
        "```",
    ]
    if "predict" not in folder.absent:
        lines += ["", folder.predict_path]
    if claim.notes:
        lines += ["", "## Notes", "", " ".join(claim.notes.split())]
    return "\n".join(lines) + "\n"


def _reached(folder: PaperFolder, claim: Claim) -> list[str]:
    published = "" if claim.published is None else f"- the paper: {claim.show(claim.published.value)}"
    target = (
        f"- to reach: {claim.show(claim.to_reach)}, margin {claim.show(claim.margin)} ({claim.margin_reason})"
    )
    verdict = shipped_verdict(folder.paper, claim)
    if verdict is None:
        ours = "- these weights: not ruled on"
    else:
        measured = verdict["measured"]
        ends = f" (95 % interval {claim.show(measured['low'])} to {claim.show(measured['high'])})"
        ours = (
            f"- these weights: {claim.show(measured['value'])}{ends if measured['low'] is not None else ''}:"
            f" {verdict['verdict']}"
        )
    scope = "- a smaller setting than the paper's, not compared with it" if claim.scope == "scaled" else ""
    return [line for line in (published, target, ours, scope) if line]


def _data(name: str) -> str:
    known = CATALOGUE.get(name)
    return f"- `fuxian data get {name}`" + (f": {known.title}, {known.licence}" if known else "")


def _weights(folder: PaperFolder, claim: Claim, weights: Path | None) -> list[str]:
    if weights is None:
        return ["- none are published yet"]
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"- `{weights.name}`, {weights.stat().st_size:,} bytes, sha256 {digest}"]
    entry = weights_entries(folder.paper).get(claim.id)
    if entry is not None:
        lines += [f"- {entry.source}; {entry.licence}"]
    return lines
