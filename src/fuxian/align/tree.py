"""Both sides' modules side by side, in the order in which they ran, with the error of what each gave."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.locate import Graph, agreement, graph
from fuxian.align.stages import Pair
from fuxian.align.tracing import Span


@dataclass(frozen=True)
class Row:
    """One module call on either side or both. ``mark``: same, differs, first (where the divergence begins), after
    (differs because its input does), alone (on one side only)."""

    port: str
    reference: str
    depth: int
    error: float | None
    mark: str


def side_by_side(both: Pair, place: str | None, tolerance: float) -> list[Row]:
    """Lay the spans of both forward passes side by side and compare what each gave."""
    port, reference = graph(both.port, "eval"), graph(both.reference, "eval")
    agrees = agreement(port, reference, both, tolerance)
    rows: list[Row] = []
    ours, theirs = port.spans, reference.spans
    names = [_names(side) for side in (ours, theirs)]
    matcher = SequenceMatcher(a=names[0], b=names[1], autojunk=False)
    depths = [_depths(ours), _depths(theirs)]
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        paired = a2 - a1 if tag == "equal" else min(a2 - a1, b2 - b1) if tag == "replace" else 0
        for i in range(paired):
            one, two = ours[a1 + i], theirs[b1 + i]
            error = _error(port, reference, one, two)
            same = all(agrees.port.get(name) for name in one.outputs) or (
                error is not None and error <= tolerance
            )
            fed = all(agrees.port.get(name) for name in one.inputs if not name.startswith("parameters."))
            mark = "same" if same else "differs" if fed else "after"
            if not same and place is not None and one.path == place:
                mark = "first"
            rows.append(Row(_shown(one), _shown(two), depths[0][a1 + i], error, mark))
        rows += [Row(_shown(ours[i]), "", depths[0][i], None, "alone") for i in range(a1 + paired, a2)]
        rows += [Row("", _shown(theirs[i]), depths[1][i], None, "alone") for i in range(b1 + paired, b2)]
    return rows


def _names(spans: list[Span]) -> list[str]:
    return [span.path for span in spans]


def _shown(span: Span) -> str:
    return f"{span.path.rpartition('.')[2] or '(model)'}: {span.kind}"


def _depths(spans: list[Span]) -> list[int]:
    depths: list[int] = []
    for span in spans:
        depths.append(0 if span.parent < 0 else depths[span.parent] + 1)
    return depths


def _error(port: Graph, reference: Graph, one: Span, two: Span) -> float | None:
    """The largest relative error of two module calls' outputs; None where they cannot be laid side by side."""
    found = []
    for mine, theirs in zip(one.outputs, two.outputs, strict=False):
        a, b = port.sketch(mine), reference.sketch(theirs)
        if a is not None and b is not None and a[sketches.COUNT] == b[sketches.COUNT]:
            found.append(sketches.error(a, b))
    return float(np.max(found)) if found else None
