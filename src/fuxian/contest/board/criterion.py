"""A paper's criterion as the checker reads it: from the very terms that rule on submissions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fuxian.contest.service.context import Context
from fuxian.contest.settings import Paper
from fuxian.errors import InputError


def criterion(at: Context, paper: Paper) -> dict[str, Any] | None:
    """Metric, target, margin, test and the steps that must pass; None where the paper is not judged.

    ``error`` says what is wrong with a terms file that cannot be read.
    """
    if not paper.judged:
        return None
    if paper.terms is None:
        assert paper.claim is not None  # noqa: S101 - judged
        return _read(paper.claim, 0)
    file = at.folder / paper.terms
    try:
        changed = file.stat().st_mtime_ns
    except OSError:
        return {"error": f"{paper.terms} is missing."}
    return _read(str(file), changed)


@lru_cache(maxsize=256)
def _read(source: str, changed: int) -> dict[str, Any]:
    """``changed`` is the file's time: a terms file that is edited is read again."""
    from fuxian.verify.terms import RUNGS, load_terms

    try:
        terms = load_terms(source)
    except InputError as error:
        return {"error": str(error)}
    claim = terms.claim
    return {
        "paper": terms.paper,
        "claim": claim.id,
        "title": claim.title,
        "dataset": claim.dataset,
        "split": claim.split,
        "metric": claim.metric,
        "direction": claim.direction,
        "display": claim.display,
        "scope": claim.scope,
        "subject": claim.subject,
        "target": claim.target,
        "margin": claim.margin,
        "margin_reason": claim.margin_reason,
        "checkpoint": claim.checkpoint,
        "seeds": len(terms.seeds or claim.seeds),
        "test": terms.test,
        "units": terms.units,
        "must_pass": list(terms.must_pass),
        "waive": list(terms.waive),
        "figure_from": [text for rung, text in RUNGS.items() if rung <= terms.lowest_rung],
        "minutes": terms.limits.minutes,
        "memory": terms.limits.memory,
    }
