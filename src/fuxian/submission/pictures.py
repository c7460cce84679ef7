"""The learning curve that a README shows, drawn from the training log."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from fuxian.paper import Claim
from fuxian.submission.manifest import Manifest

CURVE = "results/{claim}/learning_curve.png"
MOST_POINTS = 2000


def write_learning_curve(manifest: Manifest, claim: Claim) -> str | None:
    """Draws the loss, and the claim's metric where it was evaluated, over the steps; the path written.

    None where there is no log of JSON lines with a loss.
    """
    log = manifest.log_of(claim)
    if manifest.log is None or log is None or manifest.log.format != "jsonl":
        return None
    rows = _rows(manifest.folder / log)
    loss = [(row["step"], row["loss"]) for row in rows if _number(row.get("loss"))]
    figure = [
        (row["step"], row["eval"][claim.metric])
        for row in rows
        if isinstance(row.get("eval"), dict) and _number(row["eval"].get(claim.metric))
    ]
    if not loss:
        return None
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7, 3.2), layout="constrained")
    axes = picture.subplots()
    axes.plot(*zip(*_thin(loss), strict=True), linewidth=1.2, label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    if figure:
        beside = axes.twinx()
        beside.plot(*zip(*figure, strict=True), "C1o-", markersize=3, label=claim.metric)
        beside.set_ylabel(claim.metric, parse_math=False)
        picture.legend(loc="outside upper center", ncols=2, frameon=False)
    target = manifest.folder / CURVE.format(claim=claim.id)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(target, dpi=110, metadata={"Software": None})
    return CURVE.format(claim=claim.id)


def _rows(file: Path) -> list[dict[str, Any]]:
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and _number(row.get("step")):
            rows.append(row)
    return rows


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return points[:: max(1, len(points) // MOST_POINTS)]
