"""Both sides' modules side by side, in the order in which they ran, with the error of what each gave."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.locate import Agreement, Graph, agreement, graph
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
    matcher = SequenceMatcher(
        a=[s.path for s in ours], b=_as_in_port(both, port, reference, agrees), autojunk=False
    )
    depths = [_depths(ours), _depths(theirs)]
    for tag, a1, a2, b1, b2 in matcher.get_opcodes():
        paired = a2 - a1 if tag == "equal" else 0
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


def _as_in_port(both: Pair, port: Graph, reference: Graph, agrees: Agreement) -> list[str]:
    """For each span of the reference the path of the port's module that corresponds to it: the one that holds its
    parameters, that gives the same, or has the same path and is as simple or composed; else a name of its own."""
    held: dict[str, str] = {}
    for entry in both.port.data["parameters"]:
        for other in both.links.reference_names(entry["name"]):
            held.setdefault(other.rpartition(".")[0], entry["name"].rpartition(".")[0])
    ran = {span.path for span in port.spans}
    simple = [{span.path for span in side.spans} - {p for span in side.spans for p in _above(span.path)}
              for side in (port, reference)]  # fmt: skip
    makers: dict[str, list[Span]] = {}
    for span in port.spans:
        for name in span.outputs:
            makers.setdefault(name, []).append(span)
    taken: set[str] = set(held.values())
    found = []
    for span in reference.spans:
        alone = span.path in simple[1]
        chosen = held.get(span.path) if held.get(span.path) in ran else None
        if chosen is None:
            given = [
                s for name in span.outputs for o in agrees.reference.get(name, ()) for s in makers.get(o, ())
            ]
            fitting = [s.path for s in given if (s.path in simple[0]) == alone and s.path not in taken]
            same = span.path in ran and (span.path in simple[0]) == alone and span.path not in taken
            chosen = (
                span.path if same and (not fitting or span.path in fitting) else next(iter(fitting), None)
            )
        found.append(chosen if chosen is not None else f"reference:{span.path}")
    return found


def _above(path: str) -> list[str]:
    """The paths of all modules that hold the one at ``path``."""
    parts = path.split(".") if path else []
    return [".".join(parts[:i]) for i in range(len(parts))]


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
