"""Finds the first place that diverges: its inputs agree, and what it gives does not.

The two sides' calls form two graphs of tensors. A tensor *agrees* when the other side has one with the same
elements; so nesting, names and fused or separate calls do not matter. From an output that differs, the search
goes back through tensors that do not agree to the calls whose inputs all agree; a value that one side never
forms does no harm where the two meet again. The gradients are searched from the loss back in the same way.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fuxian.align import sketch as sketches
from fuxian.align.divergence import Divergence, Scene
from fuxian.align.recording import Recording
from fuxian.align.stages import Pair, StageResult
from fuxian.align.tracing import Call, Span, calls_from_json, plain

MAKERS = {
    "zeros", "ones", "full", "arange", "linspace", "eye", "empty", "meshgrid", "to_tensor", "tensor", "zeros_like",
    "ones_like", "full_like", "empty_like", "shape", "new_zeros", "new_ones", "new_full", "new_tensor", "fill_constant",
}  # fmt: skip
"""Operations that make constants."""
MAY_CHANGE_NOTHING = (
    "clip",
    "hardtanh",
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "celu",
    "thresholded_relu",
    "threshold",
)
"""Activations that leave alone what lies where they are the identity."""
CORRESPOND = re.compile(r"(\S+) and (\S+) correspond by")
"""How the matching of weights says that two tensors belong together, and are not of one shape."""
WHOLE = "optimizer"
"""The place of what concerns every parameter alike."""
INNER_TOLERANCE = {"float64": 1e-9, "float32": 2e-5}
"""Relative error up to which tensors inside the model agree, where the stage's own tolerance is not larger."""


@dataclass
class Graph:
    """One side's calls under a prefix (``eval``, ``train``, ``loss``), and who makes and uses each tensor."""

    recording: Recording
    prefix: str
    calls: list[Call]
    spans: list[Span]
    outputs: dict[str, str]
    cut: set[str]
    maker: dict[str, Call] = field(default_factory=dict)
    users: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for call in self.calls:
            for name in call.outputs:
                self.maker.setdefault(name, call)
            for name in call.inputs:
                self.users[name].append(call)

    def sketch(self, identity: str) -> np.ndarray | None:
        """The sketch of a tensor's value; None for parameters and what was not recorded."""
        name = f"{self.prefix}/values/{identity}"
        if name not in self._sketches:
            self._sketches[name] = self.recording.sketch(name) if name in self.recording else None
        return self._sketches[name]

    def gradient(self, identity: str) -> np.ndarray | None:
        """The sketch of a tensor's gradient; None where there is none."""
        name = f"{self.prefix}/value_gradients/{identity}"
        if name not in self._sketches:
            self._sketches[name] = self.recording.sketch(name) if name in self.recording else None
        return self._sketches[name]

    def shape(self, identity: str) -> tuple[int, ...]:
        return self.recording.shape(f"{self.prefix}/values/{identity}")

    @cached_property
    def _sketches(self) -> dict[str, np.ndarray | None]:
        return {}

    @cached_property
    def classes(self) -> dict[str, dict[str, Any]]:
        return {module["path"]: module for module in self.recording.data["modules"]}


def graph(recording: Recording, prefix: str) -> Graph:
    """The graph of one recorded pass; empty where it was not recorded."""
    trace = recording.data.get("trace", {}).get(prefix, {"calls": [], "spans": []})
    calls, spans = calls_from_json(trace)
    return Graph(recording, prefix, calls, spans, trace.get("outputs", {}), set(trace.get("cut", ())))


@dataclass
class Agreement:
    """Which tensors of the two graphs have the same elements.

    ``port`` maps a port's tensor to those of the reference; ``reference`` the other way. With ``any_order`` the
    elements may be laid out in another shape.
    """

    port: dict[str, list[str]]
    reference: dict[str, list[str]]


def agreement(port: Graph, reference: Graph, both: Pair, tolerance: float) -> Agreement:
    """Match the tensors of two graphs by their elements."""
    by_size: dict[float, list[tuple[float, str]]] = defaultdict(list)
    theirs = [name for name in _tensors(reference) if reference.sketch(name) is not None]
    for name in theirs:
        vector = reference.sketch(name)
        assert vector is not None  # noqa: S101
        by_size[vector[sketches.COUNT]].append((float(vector[sketches.L2]), name))
    found = Agreement(defaultdict(list), defaultdict(list))
    for name in _tensors(port):
        vector = port.sketch(name)
        if vector is None:
            continue
        shape = port.shape(name)
        norm = float(vector[sketches.L2])
        same: list[str] = []
        laid_out: list[str] = []
        shuffled = False
        for other_norm, other in by_size.get(vector[sketches.COUNT], ()):
            if abs(other_norm - norm) > 2 * tolerance * max(norm, other_norm):
                continue
            two = reference.sketch(other)
            assert two is not None  # noqa: S101
            if _section(name) != _section(other) or not sketches.same_elements(vector, two, tolerance):
                continue
            if _squeezed(shape) != _squeezed(reference.shape(other)):
                laid_out.append(other)
            elif sketches.error(vector, two) <= tolerance:
                same.append(other)
            else:
                shuffled = True
        # The same shape in another order is no agreement, even where a third tensor has the elements as well.
        for other in same or ([] if shuffled else laid_out):
            found.port[name].append(other)
            found.reference[other].append(name)
    for entry in both.port.data["parameters"]:
        for other in both.links.reference_names(entry["name"]):
            found.port[f"parameters.{entry['name']}"].append(f"parameters.{other}")
            found.reference[f"parameters.{other}"].append(f"parameters.{entry['name']}")
    return found


def _section(name: str) -> str:
    """The loss's tensors stand apart: what the loss forms again is not what the model formed."""
    return "loss" if name.startswith("loss.") else ""


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _tensors(side: Graph) -> Iterable[str]:
    names = dict.fromkeys(name for call in side.calls for name in (*call.inputs, *call.outputs))
    return [name for name in names if not name.startswith("parameters.")]


def _constants(side: Graph) -> set[str]:
    """The tensors that are made of constants alone."""
    found: set[str] = set()
    for call in side.calls:
        if plain(call.operation) in MAKERS or (call.inputs and all(name in found for name in call.inputs)):
            found |= set(call.outputs)
    return found


def _frontier(
    side: Graph,
    agrees: dict[str, list[str]],
    sinks: Iterable[str],
    passed: frozenset[str] | set[str] = frozenset(),
) -> list[Call]:
    """Going back from the sinks through tensors that do not agree: the calls whose inputs all agree, or come from
    nowhere (a constant), in execution order. What is ``passed`` over is not asked."""
    found: dict[int, Call] = {}
    seen: set[str] = set()
    waiting = [name for name in sinks if not agrees.get(name) and name not in passed]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        call = side.maker.get(name)
        if call is None:
            continue
        asked = [n for n in call.inputs if not agrees.get(n) and n not in passed]
        given = [n for n in _given(side, call, asked) if not agrees.get(n) and n not in passed]
        behind = [n for n in (*asked, *given) if n in side.maker]
        if behind:
            waiting += behind
        else:
            found[call.index] = call
    return [found[index] for index in sorted(found)]


def _given(side: Graph, call: Call, names: list[str]) -> list[str]:
    """What the modules around a call were given, where the call takes in a tensor that comes from nowhere: calls of
    compiled code between them are not followed."""
    if all(name in side.maker or ".c" not in name for name in names):
        return []
    span = call.span
    while span >= 0:
        given = [n for n in side.spans[span].inputs if n in side.maker or ".c" not in n]
        if given:
            return given
        span = side.spans[span].parent
    return []


def _alike(port: Call, reference: Call, agrees: dict[str, list[str]], sides: tuple[Graph, Graph]) -> float:
    """How likely two calls are each other's counterparts."""
    wanted = set(reference.inputs)
    shared = [name for name in port.inputs if wanted & set(agrees.get(name, ()))]
    same = plain(port.operation) == plain(reference.operation)
    together = shared or port.path == reference.path or not (port.inputs and reference.inputs)
    score = (4.5 if together else 1.0) * same
    score += 4.0 * len(shared) / max(len(port.inputs), len(reference.inputs), 1)
    score += 2.0 * (_tail(port.path) == _tail(reference.path)) + 1.0 * (port.path == reference.path)
    shapes = [[_squeezed(side.shape(n)) for n in call.outputs if side.sketch(n) is not None]
              for side, call in zip(sides, (port, reference), strict=True)]  # fmt: skip
    return score + 1.0 * (shapes[0] == shapes[1])


def _tail(path: str) -> str:
    return path.rpartition(".")[2]


def forward_place(
    both: Pair, prefix: str, sinks: tuple[list[str], list[str]] | None, tolerance: float
) -> tuple[Graph, Graph, list[Call], list[Call]] | None:
    """The calls of both sides where the forward pass first diverges."""
    port, reference = graph(both.port, prefix), graph(both.reference, prefix)
    agrees = agreement(port, reference, both, tolerance)
    ours, theirs = sinks or (list(port.outputs.values()), list(reference.outputs.values()))
    scored: list[tuple[float, int, int, Call, Call]] = []
    # How a constant is made may have nothing to do with what differs: then what takes it in is looked at.
    for passed in ((frozenset[str](), frozenset[str]()), (_constants(port), _constants(reference))):
        mine = _frontier(port, agrees.port, ours, passed[0])
        other = _frontier(reference, agrees.reference, theirs, passed[1])
        scored = [
            (_alike(one, two, agrees.port, (port, reference)), -one.index, -two.index, one, two)
            for one in mine
            for two in other
        ]
        chosen = max(scored, key=lambda found: found[:3], default=None)
        makers = [plain(call.operation) for call in chosen[3:]] if chosen else ["zeros", ""]
        if makers[0] == makers[1] or not set(makers) & MAKERS:
            break
    if not mine and not other:
        return None
    if scored:
        _, _, _, one, two = max(scored, key=lambda found: found[:3])
        one, two = _idle(port, one, two, agrees.port), _idle(reference, two, one, agrees.reference)
        first, second = _region(port, one, agrees.port), _region(reference, two, agrees.reference)
        if one.operation == two.operation:
            first, second = first[:1], second[:1]
        return port, reference, first, second
    if mine:
        return port, reference, _region(port, mine[0], agrees.port), []
    return port, reference, [], _region(reference, other[0], agrees.reference)


def _idle(side: Graph, call: Call, other: Call, agrees: dict[str, list[str]]) -> Call:
    """The call before this one, where it is of the other side's operation on the same tensor and changed nothing: a
    multiplication by one is a call all the same, and so is a clipping of what lies within its bounds."""
    if plain(call.operation) == plain(other.operation):
        return call
    for name in call.inputs:
        maker = side.maker.get(name)
        if maker is None or plain(maker.operation) not in {plain(other.operation), *MAY_CHANGE_NOTHING}:
            continue
        if any(set(agrees.get(name, ())) & set(agrees.get(n, ())) & set(other.inputs) for n in maker.inputs):
            return maker
    return call


def _region(side: Graph, first: Call, agrees: dict[str, list[str]]) -> list[Call]:
    """The calls from the first on, in the same module, that hang on each other and do not agree yet."""
    region, reached = [first], set(first.outputs)
    for call in side.calls[first.index + 1 :]:
        if len(region) >= 12 or (call.path != first.path and not call.path.startswith(first.path + ".")):
            break
        if reached & set(call.inputs):
            region.append(call)
            reached |= set(call.outputs)
            if all(agrees.get(name) for name in call.outputs):
                break
    return region


def backward_place(
    both: Pair, prefix: str, bad_parameters: set[str], tolerance: float
) -> tuple[Graph, Graph, list[Call], list[Call]] | None:
    """The calls of both sides where the backward pass first diverges, walking from the loss back."""
    port, reference = graph(both.port, prefix), graph(both.reference, prefix)
    agrees = agreement(port, reference, both, max(tolerance, INNER_TOLERANCE[both.judge().precision]))
    state = {name: _gradient_state(port, reference, name, agrees, tolerance) for name in _tensors(port)}
    state |= {f"parameters.{name}": "bad" for name in bad_parameters}
    suspects = []
    for call in reversed(port.calls):
        outputs = [state.get(name, "unknown") for name in call.outputs]
        if any(kind == "bad" for kind in outputs):
            continue
        if any(state.get(name) == "bad" for name in call.inputs):
            suspects.append(call)
    if not suspects:
        return None
    certain = [call for call in suspects if any(state.get(name) == "good" for name in call.outputs)]
    chosen = (certain or suspects)[0]
    bad = [name for name in chosen.inputs if state.get(name) == "bad"]
    users = [call for call in (certain or suspects) if set(bad) & set(call.inputs)]
    partners = {call.index: _partner(call, reference, agrees) for call in users}
    lonely = [
        c
        for c in users
        if partners[c.index] is None or _cut_unevenly(port, c, reference, partners[c.index], agrees)
    ]
    chosen = lonely[0] if lonely and len(users) > 1 else chosen
    chosen = _where_cut(port, chosen, [name for name in chosen.inputs if state.get(name) == "bad"])
    partner = partners.get(chosen.index) or _partner(chosen, reference, agrees)
    return port, reference, [chosen], [partner] if partner is not None else []


def _cut_unevenly(port: Graph, call: Call, reference: Graph, partner: Call | None, agrees: Agreement) -> bool:
    """Whether an input of two counterparts takes a gradient on one side only."""
    taken = set(partner.inputs) if partner is not None else set()
    return any(
        (name in port.cut) != (other in reference.cut)
        for name in call.inputs
        for other in agrees.port.get(name, ())
        if other in taken
    )


def _where_cut(port: Graph, user: Call, bad: list[str]) -> Call:
    """Where a gradient is missing because nothing flows back: the call that cut it (``detach``), not its user."""
    for name in bad:
        at = name
        while at in port.cut and at in port.maker:
            maker = port.maker[at]
            behind = [n for n in maker.inputs if n in port.cut]
            if not behind:
                return maker
            at = behind[0]
    return user


def _gradient_state(port: Graph, reference: Graph, name: str, agrees: Agreement, tolerance: float) -> str:
    others = agrees.port.get(name, [])
    if not others or port.recording.dtype(f"{port.prefix}/values/{name}")[:5] != "float":
        return "unknown"
    mine = port.gradient(name)
    theirs = [reference.gradient(other) for other in others]
    if mine is None:
        return "unknown" if any(g is None for g in theirs) else "bad"
    given = [g for g in theirs if g is not None]
    if not given:
        return "unknown" if mine[sketches.L2] == 0 else "bad"
    for gradient in given:
        if sketches.same_arrangement(mine, gradient, tolerance) or sketches.same_elements(
            mine, gradient, tolerance
        ):
            return "good"
    return "bad"


def _partner(call: Call, reference: Graph, agrees: Agreement) -> Call | None:
    """The reference's call that uses and makes the same tensors."""
    best, best_score = None, 0.0
    for other in {
        c.index: c for n in call.inputs for o in agrees.port.get(n, ()) for c in reference.users[o]
    }.values():
        same_output = any(o in other.outputs for n in call.outputs for o in agrees.port.get(n, ()))
        score = 2.0 * same_output + 1.0 * (call.operation == other.operation)
        if score > best_score:
            best, best_score = other, score
    return best


def place_name(call: Call) -> str:
    """The path of the module whose forward makes the call; ``loss`` in the loss."""
    return "loss" if call.section == "loss" else call.path


def scene(side: Graph, calls: list[Call], path: str = "") -> Scene:
    """What was recorded at the place."""
    path = calls[0].path if calls else path
    identities = dict.fromkeys(name for call in calls for name in (*call.inputs, *call.outputs))
    tensors, gradients = {}, {}
    for identity in identities:
        value = f"{side.prefix}/values/{identity}"
        weight = f"weights/{identity.removeprefix('parameters.')}"
        if identity.startswith("parameters.") and weight in side.recording and side.recording.kept(weight):
            tensors[identity] = side.recording.get(weight)
        elif value in side.recording and side.recording.kept(value):
            tensors[identity] = side.recording.get(value)
        gradient = f"{side.prefix}/value_gradients/{identity}"
        parameter = f"{side.prefix}/gradients/{identity.removeprefix('parameters.')}"
        for name in (gradient, parameter):
            if name in side.recording and side.recording.kept(name):
                gradients[identity] = side.recording.get(name)
    module = side.classes.get(path, {})
    return Scene(
        side.recording.framework,
        path,
        module.get("class", ""),
        module.get("settings", {}),
        calls,
        tensors,
        gradients,
        calls[0].line if calls else "",
    )


# --- from a stage's result to the divergence -------------------------------------------------------------------------


def locate(both: Pair, result: StageResult) -> Divergence:
    """The first divergence within a stage that diverges."""
    worst = result.worst
    assert worst is not None  # noqa: S101
    facts = dict(result.facts)
    facts["names"] = [tensor.name for tensor in result.differing]
    facts["names_agreeing"] = [tensor.name for tensor in result.tensors if tensor.agrees]
    facts["problems"] = {tensor.name: tensor.problem for tensor in result.differing if tensor.problem}

    def divergence(place: str, reference_place: str, kind: str, **scenes: Any) -> Divergence:
        return Divergence(
            stage=result.stage,
            place=place,
            reference_place=reference_place,
            kind=kind,
            error=worst.error,
            tolerance=worst.tolerance,
            facts=facts,
            recordings=(both.port, both.reference),
            to_port=lambda name: _weight_in_port(both, name),
            **scenes,
        )

    if result.facts.get("unmatched"):
        side, name = result.facts["unmatched"][0]
        holder = name.rpartition(".")[0]
        told = [m for m in (CORRESPOND.match(text) for text in both.links.problems) if m is not None]
        if side == "port":
            partner = next((m[2] for m in told if m[1] == name), "")
            other = partner.rpartition(".")[0] if partner else _module_in_reference(both, holder)
            return divergence(holder, other, "inventory")
        partner = next((m[1] for m in told if m[2] == name), "")
        mine = partner.rpartition(".")[0] if partner else _module_in_port(both, name)
        return divergence(mine, holder, "inventory")
    if "error" in result.facts:
        failure = result.facts["error"]
        facts["message"], facts["line"] = failure["message"], failure["line"]
        facts["defect"] = failure.get("defect", False)
        found = _failed_place(both, result)
        if found is None:
            place = "loss" if "loss" in (result.stage, failure["section"]) else failure["path"]
            scenes = {} if failure["section"] == "backward" else _scenes_of_error(both, result.stage)
            return divergence(place, place, "error", **scenes)
        port, reference, ours, theirs = found
        place = "loss" if result.stage == "loss" else _place(both, port, reference, ours, theirs)
        other = place_name(theirs[0]) if theirs else ""
        facts["line"] = ours[0].line if ours else failure["line"]
        kind = "call" if theirs else "error"
        return divergence(
            place, other, kind, port=scene(port, ours, place), reference=scene(reference, theirs, other)
        )
    tolerance = _inner_tolerance(both, result)
    found = None
    if result.stage == "forward":
        found = forward_place(both, "eval", None, tolerance)
    elif result.stage == "loss":
        found = forward_place(both, "loss", _loss_sinks(both), tolerance)
    elif result.stage == "backward":
        found = backward_place(both, "eval", _bad_parameters(result), tolerance)
    elif result.stage in ("training_mode", "higher_order"):
        found = _training_place(both, result, tolerance)
    if found is not None:
        port, reference, ours, theirs = found
        mine = _place(both, port, reference, ours, theirs)
        if result.stage == "loss":
            mine = _loss_part(result)
        other = place_name(theirs[0]) if theirs else ""
        return divergence(
            mine,
            other,
            "call",
            port=scene(port, ours, mine),
            reference=scene(reference, theirs, other),
        )
    return divergence(*_named_place(both, result), **{})


def _failed_place(both: Pair, result: StageResult) -> tuple[Graph, Graph, list[Call], list[Call]] | None:
    """Where a port that raised first differed: before it raised, or at the call that did."""
    prefix = {"forward": "eval", "loss": "loss", "training_mode": "train"}.get(result.stage)
    if prefix is None:
        return None
    port, reference = graph(both.port, prefix), graph(both.reference, prefix)
    if not port.calls or port.calls[-1].outputs or not reference.calls:
        return None
    raised = port.calls[-1]
    agrees = agreement(port, reference, both, INNER_TOLERANCE[both.judge().precision])
    _of_one_shape(agrees, port, reference)
    mine = _frontier(port, agrees.port, raised.inputs) or [raised]
    sinks = [name for call in reference.calls for name in call.outputs]
    other = _frontier(reference, agrees.reference, sinks)
    scored = [
        (_alike(one, two, agrees.port, (port, reference)), -one.index, -two.index, one, two)
        for one in mine
        for two in other
    ]
    if not scored:
        return port, reference, [raised], []
    score, _, _, one, two = max(scored, key=lambda found: found[:3])
    return (port, reference, [one], [two]) if score >= 4.5 else (port, reference, [raised], [])


def _of_one_shape(agrees: Agreement, port: Graph, reference: Graph) -> None:
    """Leave out of an agreement tensors with the same elements in another shape: what raises is often the shape."""
    for held, one, two in ((agrees.port, port, reference), (agrees.reference, reference, port)):
        for name, others in list(held.items()):
            if not name.startswith("parameters."):
                shape = _squeezed(one.shape(name))
                held[name] = [other for other in others if _squeezed(two.shape(other)) == shape]


def uses(found: Divergence, unmatched: list[tuple[str, str]]) -> bool:
    """Whether the calls at a divergence compute with a parameter that has no counterpart."""
    names = {
        (side, name)
        for side, held in (("port", found.port), ("reference", found.reference))
        for call in (held.calls if held is not None else ())
        for name in call.inputs
    }
    return any((side, f"parameters.{name}") in names for side, name in unmatched)


def _weight_in_port(both: Pair, name: str) -> np.ndarray | None:
    """The reference's initial value of a port's parameter, in the port's layout; None where there is none."""

    def get(other: str) -> np.ndarray | None:
        full = f"weights/{other}"
        return both.reference.get(full) if full in both.reference and both.reference.kept(full) else None

    shapes = {entry["name"]: tuple(entry["shape"]) for entry in both.port.data["parameters"]}
    return both.links.to_port(name, get, shapes[name]) if name in shapes else None


def _scenes_of_error(both: Pair, stage: str) -> dict[str, Scene]:
    prefix = {"loss": "loss", "training_mode": "train", "training_steps": "train"}.get(stage, "eval")
    port, reference = graph(both.port, prefix), graph(both.reference, prefix)
    done = len(port.calls)
    return {
        "port": scene(port, port.calls[-1:]),
        "reference": scene(reference, reference.calls[done : done + 1]),
    }


def _inner_tolerance(both: Pair, result: StageResult) -> float:
    """For tensors inside: no smaller than the stage's own, and below the smallest error that must be seen."""
    floor = INNER_TOLERANCE[both.judge().precision]
    allowed = [t.tolerance for t in result.tensors if np.isfinite(t.tolerance) and t.tolerance > 0]
    seen = [t.error for t in result.differing if np.isfinite(t.error)]
    tolerance = max(floor, float(np.median(allowed)) if allowed else 0.0)
    return min(tolerance, max(floor, 0.1 * max(seen))) if seen else tolerance


def _loss_sinks(both: Pair) -> tuple[list[str], list[str]]:
    sinks = []
    for side in (both.port, both.reference):
        made = graph(side, "loss")
        used = {name for call in made.calls for name in call.inputs}
        last = [name for call in made.calls for name in call.outputs if name not in used]
        sinks.append(last)
    return sinks[0], sinks[1]


def _loss_part(result: StageResult) -> str:
    """The part of the loss that differs: its name, ``loss`` where there are no named parts."""
    names = [tensor.name for tensor in result.differing]
    parts = [name for name in names if name != "total"]
    return parts[0] if parts else "total" if len(result.tensors) > 1 else "loss"


def _bad_parameters(result: StageResult, prefix: str = "") -> set[str]:
    return {t.name.removeprefix(prefix) for t in result.differing if t.name.startswith(prefix)}


def _training_place(both: Pair, result: StageResult, tolerance: float) -> Any:
    differing = [tensor.name for tensor in result.differing]
    if result.stage == "training_mode" and any(n.startswith("outputs") for n in differing):
        return forward_place(both, "train", None, tolerance)
    if any(n.startswith("buffers/") for n in differing):
        return _buffer_place(
            both, next(n for n in differing if n.startswith("buffers/")).removeprefix("buffers/")
        )
    if any(n.startswith("losses/") for n in differing):
        return forward_place(both, "train", _train_loss_sinks(both), tolerance)
    prefix = "gradients/" if result.stage == "training_mode" else ""
    return backward_place(both, "train", _bad_parameters(result, prefix), tolerance)


def _train_loss_sinks(both: Pair) -> tuple[list[str], list[str]]:
    sinks = []
    for side in (both.port, both.reference):
        made = graph(side, "train")
        used = {name for call in made.calls for name in call.inputs}
        sinks.append(
            [n for call in made.calls if call.section == "loss" for n in call.outputs if n not in used]
        )
    return sinks[0], sinks[1]


def _buffer_place(both: Pair, name: str) -> tuple[Graph, Graph, list[Call], list[Call]] | None:
    port, reference = graph(both.port, "train"), graph(both.reference, "train")
    ours = port.users.get(f"parameters.{name}", [])
    theirs = [c for n in both.links.reference_names(name) for c in reference.users.get(f"parameters.{n}", [])]
    return (port, reference, ours[:1], theirs[:1]) if ours else None


def counterparts(agrees: Agreement, port: Call, reference: Call) -> bool:
    """Whether two calls are of one operation, and share a parameter where both have any."""
    if plain(port.operation) != plain(reference.operation):
        return False
    ours = {
        other for name in port.inputs if name.startswith("parameters.") for other in agrees.port.get(name, ())
    }
    theirs = {name for name in reference.inputs if name.startswith("parameters.")}
    return not (ours and theirs) or bool(ours & theirs)


def _place(both: Pair, port: Graph, reference: Graph, ours: list[Call], theirs: list[Call]) -> str:
    """The port's place. A call that the port lacks belongs to the module that should make it; calls in another order
    to the module that holds them all."""
    if not ours:
        return _in_port(both, _caller(reference, theirs[0]))
    place = place_name(ours[0])
    if not theirs or place == "loss":
        return place
    one, two = ours[0], theirs[0]
    same_place = place_name(two) == place or len(one.inputs) == len(two.inputs) == 1
    links = _linked(both)
    if plain(one.operation) == plain(two.operation):
        inside = _in_port(both, _caller(reference, two))
        again = any(counterparts(links, one, user) for user in _next(reference, [two]))
        lacks = not same_place and inside != place and inside.startswith(place) and again
        return inside if lacks else place
    if place_name(two) == place:
        return place
    missing = any(counterparts(links, one, user) for user in _after(reference, theirs, one))
    extra = any(counterparts(links, user, two) for user in _after(port, ours, two))
    if missing and extra:
        made = [[plain(call.operation) for call in side.calls] for side in (port, reference)]
        fewer = made[0].count(plain(two.operation)) < made[1].count(plain(two.operation))
        if not fewer:
            return _common(place, _in_port(both, place_name(two)))
    return _in_port(both, _caller(reference, two)) if missing else place


def _linked(both: Pair) -> Agreement:
    """The parameters alone, as they correspond."""
    found = Agreement({}, {})
    for entry in both.port.data["parameters"]:
        others = both.links.reference_names(entry["name"])
        found.port[f"parameters.{entry['name']}"] = [f"parameters.{other}" for other in others]
    return found


def _next(side: Graph, calls: list[Call]) -> list[Call]:
    return [user for call in calls for name in call.outputs for user in side.users.get(name, ())]


def _after(side: Graph, calls: list[Call], wanted: Call) -> list[Call]:
    """The calls that follow; all that hang on them where the one that is looked for can be told by its parameters."""
    found = _next(side, calls)
    if not any(name.startswith("parameters.") for name in wanted.inputs):
        return found
    reached = {name for call in calls for name in call.outputs}
    for call in side.calls:
        if reached & set(call.inputs):
            found.append(call)
            reached |= set(call.outputs)
    return found


def _caller(side: Graph, call: Call) -> str:
    """The module whose forward makes the call, or calls the framework's own module that makes it."""
    kind = side.classes.get(call.path, {}).get("class", "")
    place = place_name(call)
    if not kind.startswith(("paddle.", "torch.")) or place == "loss":
        return place
    parent = side.spans[call.span].parent if call.span >= 0 else -1
    return side.spans[parent].path if parent >= 0 else ""


def _in_port(both: Pair, path: str) -> str:
    """The port's module of the same path, or the nearest that holds it."""
    paths = {module["path"] for module in both.port.data["modules"]}
    while path and path not in paths and path != "loss":
        path = path.rpartition(".")[0]
    return path


def _module_in_port(both: Pair, name: str) -> str:
    """The port's module that should hold a tensor of the reference's: the one that holds its other tensors, or makes
    the same call of the same input."""
    holder = name.rpartition(".")[0]
    for entry in both.reference.data["parameters"]:
        if entry["name"].rpartition(".")[0] == holder:
            for other in both.links.port_names(entry["name"]):
                return other.rpartition(".")[0]
    port, reference = graph(both.port, "eval"), graph(both.reference, "eval")
    agrees = agreement(port, reference, both, INNER_TOLERANCE[both.judge().precision])
    for call in reference.users.get(f"parameters.{name}", ()):
        partners = {
            o for n in call.inputs if not n.startswith("parameters.") for o in agrees.reference.get(n, ())
        }
        for user in (user for other in partners for user in port.users.get(other, ())):
            if plain(user.operation) == plain(call.operation):
                return user.path
    return _in_port(both, holder)


def _module_in_reference(both: Pair, holder: str) -> str:
    """The reference's module that holds the other tensors of the port's module, or goes by its name; ``""`` if none."""
    for entry in both.port.data["parameters"]:
        if entry["name"].rpartition(".")[0] == holder:
            for other in both.links.reference_names(entry["name"]):
                return other.rpartition(".")[0]
    return holder if any(m["path"] == holder for m in both.reference.data["modules"]) else ""


def _common(one: str, two: str) -> str:
    """The innermost module that holds both paths."""
    shared = []
    for a, b in zip(one.split("."), two.split("."), strict=False):
        if a != b:
            break
        shared.append(a)
    return ".".join(shared)


def _concerns_all(both: Pair, result: StageResult) -> bool:
    """Whether no group of parameters is spared: more than half of each group differs."""
    parameters = {entry["name"] for entry in both.port.data["parameters"]}
    names_differing = [tensor.name for tensor in result.differing]
    differing = {name if name in parameters else name.rpartition("/")[0] for name in names_differing}
    optimised = both.port.stages.get("optimizer", {}).get("settings", {})
    groups = [group["params"] for made in optimised.values() for group in made["groups"]]
    return bool(groups) and all(
        sum(n in differing for n in names) > len(names) / 2 for names in groups if names
    )


def _named_place(both: Pair, result: StageResult) -> tuple[str, str, str]:
    """For stages whose tensors carry their place in their name: the first that differs."""
    first = result.differing[0]
    if result.stage in ("eval_data", "train_data"):
        return first.name.partition("/")[2] or first.name, first.reference_name or first.name, "leaf"
    if result.stage == "metric":
        return first.name, first.reference_name, "figure"
    if result.stage == "learning_rate":
        whole = len(result.differing) == len(result.tensors) or "parameter" not in result.facts
        return (WHOLE if whole else result.facts["parameter"]), first.reference_name, "group"
    names = [t for t in result.differing if not t.name.startswith(("losses/", "outputs"))] or [first]
    chosen = names[0]
    name = chosen.name
    for prefix in ("gradients/", "buffers/", "evaluated/"):
        name = name.removeprefix(prefix)
    if result.stage in ("optimizer", "regularisation"):
        parameters = {entry["name"] for entry in both.port.data["parameters"]}
        name = name if name in parameters else name.rpartition("/")[0]
        if _concerns_all(both, result):
            return WHOLE, WHOLE, "parameter"
    settings = set(both.reference.data["settings"]) | set(both.reference.data["parts"])
    kind = "setting" if result.stage == "configuration" and name in settings else "parameter"
    return name, chosen.reference_name, kind
