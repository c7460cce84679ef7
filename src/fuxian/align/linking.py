"""Which of several possible links between a port's weights and the reference's is right: the one with which the port
computes what the reference computed.

Names and structure decide where they can. Where they leave anything open the port is run once with its own weights,
for the order in which it uses them, and once with each candidate's.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.draws import Draws
from fuxian.align.mapping import Candidate, Links, candidates
from fuxian.align.recording import Recording
from fuxian.align.tracing import Tracer
from fuxian.weights import Overrides

AGREES = {"float64": 1e-7, "float32": 1e-3}
MOST = 8
"""Candidates that are run at most."""

Run = Callable[[Links | None, Tracer], None]
"""Runs the port's forward pass with the reference's weights as links lay them out, its own where they are None."""


@dataclass
class Probe:
    """What one run of the port showed: when each tensor was first used, and sketches of what the calls gave."""

    order: dict[str, int]
    sketches: list[np.ndarray]


def choose(
    trees: tuple[Mapping[str, Any], Mapping[str, Any]],
    reference: Recording,
    overrides: Overrides | None,
    run: Run,
    side: Any,
) -> Links:
    """The links between a port and its reference; ``trees`` are both models', the port's first.

    Raises InputError as ``fuxian.align.mapping.link`` does.
    """
    found = candidates(*trees, overrides)
    trace = reference.data.get("trace", {}).get("eval")
    if found[0].certain or not trace or overrides is not None:
        return found[0].links
    own = _probe(run, None, side)
    if own is None:
        return found[0].links
    found = candidates(*trees, overrides, (own.order, order_of_use(trace["calls"])))[:MOST]
    if len(found) == 1:
        return found[0].links
    wanted = _by_size(_given(reference, trace))
    tolerance = AGREES[reference.data["dtype"]]
    scores = [
        (_agreeing(_probe(run, c.links, side), wanted, tolerance), _fitting(c), -i)
        for i, c in enumerate(found)
    ]
    return found[-max(scores)[2]].links


def order_of_use(calls: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """By parameter or buffer: the number of the first call that used it."""
    order: dict[str, int] = {}
    for number, call in enumerate(calls):
        for name in call["inputs"]:
            if name.startswith("parameters."):
                order.setdefault(name.removeprefix("parameters."), number)
    return order


def _fitting(candidate: Candidate) -> int:
    links = candidate.links
    return len(links.pairs) - len(links.port_left) - len(links.reference_left)


def _probe(run: Run, links: Links | None, side: Any) -> Probe | None:
    """One run; what it showed until it failed, where it fails. None where it showed nothing."""
    seen: list[np.ndarray] = []

    def keep(name: str, array: np.ndarray) -> None:
        if ".t" in name and array.dtype.kind == "f" and array.size > 1:
            seen.append(sketches.sketch(array))

    tracer = Tracer(side, keep)
    with contextlib.suppress(Exception):  # It fails again, and is told of, where it is recorded.
        run(links, tracer)
    order = order_of_use([{"inputs": call.inputs} for call in tracer.calls])
    return Probe(order, seen) if order else None


def _given(reference: Recording, trace: Mapping[str, Any]) -> list[np.ndarray]:
    names = dict.fromkeys(f"eval/values/{name}" for call in trace["calls"] for name in call["outputs"])
    return [reference.sketch(name) for name in names if name in reference]


def _by_size(given: Sequence[np.ndarray]) -> dict[float, list[np.ndarray]]:
    found: dict[float, list[np.ndarray]] = defaultdict(list)
    for vector in given:
        found[vector[sketches.COUNT]].append(vector)
    return found


def _agreeing(probe: Probe | None, wanted: Mapping[float, Sequence[np.ndarray]], tolerance: float) -> int:
    """How many tensors of a run have the elements of one of the reference's."""
    if probe is None:
        return 0
    return sum(
        any(sketches.same_elements(mine, other, tolerance) for other in wanted.get(mine[sketches.COUNT], ()))
        for mine in probe.sketches
        if mine[sketches.LOW] != mine[sketches.HIGH]
    )


def running(side: Any, forward: Callable[[], None], model: Any, tracer: Tracer) -> None:
    """Run a forward pass of the port under a tracer."""
    tracer.paths = {id(module): path for path, module in reversed(side.modules(model))}
    for name, tensor, _ in reversed(list(side.tensors(model))):
        tracer.tag(tensor, f"parameters.{name}")
    with side.sharing_draws(Draws(), tracer), side.following(tracer):
        forward()
