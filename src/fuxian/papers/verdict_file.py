"""``verdict.json``: what ``--json`` prints and what later commands read back. Needs no framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuxian.paper import Claim, Paper
from fuxian.verdict import Verdict


def verdict_document(
    paper: Paper, claim: Claim, verdict: Verdict, run: Path, settings: Mapping[str, Any]
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
        "report": str(run / "report.html"),
    }


def last_verdicts(runs: Path) -> dict[str, dict[str, Any]]:
    """The newest verdict on each claim under ``runs``, by "paper/claim"; what rules on no claim does not count."""
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for file in runs.glob("*/verdict.json"):
        try:
            document = json.loads(file.read_text())
            name, when = f"{document['paper']}/{document['claim']}", file.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if document.get("verdict") not in ("smoke", "changed") and when > found.get(name, (0.0, {}))[0]:
            found[name] = when, document
    return {name: document for name, (_, document) in found.items()}
