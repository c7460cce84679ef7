"""``verdict.json``: what ``--json`` prints and what later commands read back. Needs no framework."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fuxian.paper import Claim, Paper
from fuxian.verdict import Verdict


def verdict_document(
    paper: Paper, claim: Claim, verdict: Verdict, run: Path, settings: Mapping[str, Any], lang: str = "en"
) -> dict[str, Any]:
    """What verdict.json and ``--json`` hold; ``settings`` are those of the recipe that are not the claim's own."""
    fields = verdict.as_dict()
    measured = {name: fields.pop(name) for name in ("value", "low", "high", "n")}
    return {
        "paper": paper.id,
        "claim": claim.id,
        "scope": claim.scope,
        **({"settings": dict(settings)} if settings else {}),
        "measured": measured,
        **fields,
        "run": str(run),
        "report": str(run / report_name(lang)),
    }


def report_name(lang: str) -> str:
    """A report in another language stands beside the English one."""
    return "report.html" if lang == "en" else f"report_{lang}.html"


def shipped_verdict(paper: Paper, claim: Claim) -> dict[str, Any] | None:
    """The verdict that a paper's folder ships with its weights, ``weights/<claim>.verdict.json``.

    None where there is none, or the claim has had another target or margin since.
    """
    document = _read(paper.folder / "weights" / f"{claim.id}.verdict.json")
    if document is None or document.get("margin") != claim.margin or document.get("target") != claim.to_reach:
        return None
    return document


def last_verdicts(runs: Path, papers: Iterable[Paper] = ()) -> dict[str, dict[str, Any]]:
    """The newest verdict on each claim under ``runs``, by "paper/claim"; what rules on no claim does not count.

    Where nothing under ``runs`` ruled on a claim of ``papers``, the verdict that it ships.
    """
    shipped = {
        f"{paper.id}/{claim.id}": document
        for paper in papers
        for claim in paper.claims
        if (document := shipped_verdict(paper, claim)) is not None
    }
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for file in runs.glob("*/verdict.json"):
        document = _read(file)
        if document is None or not {"paper", "claim"} <= document.keys():
            continue
        name, when = f"{document['paper']}/{document['claim']}", file.stat().st_mtime
        if document.get("verdict") not in ("smoke", "changed") and when > found.get(name, (0.0, {}))[0]:
            found[name] = when, document
    return shipped | {name: document for name, (_, document) in found.items()}


def _read(file: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
