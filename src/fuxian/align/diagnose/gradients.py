"""Why gradients differ though the forward pass agrees: cut, not cut, frozen, scaled, of first order, another order."""

from __future__ import annotations

import numpy as np

from fuxian.align import defects
from fuxian.align.diagnose import structure
from fuxian.align.diagnose.recompute import rerun
from fuxian.align.diagnose.relations import elementwise
from fuxian.align.diagnose.tried import best, error
from fuxian.align.diagnose.view import View, ancestors, users, view
from fuxian.align.divergence import Diagnosis, Divergence, Scene
from fuxian.align.locate import Graph
from fuxian.align.mapping import links_from_json
from fuxian.align.tracing import Call, plain

CUTS = {"detach", "stop_gradient", "no_grad"}


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of other gradients."""
    if divergence.recordings is None:
        return None
    seen = view(divergence)
    for attempt in (frozen, _slopes):
        found = attempt(divergence)
        if found is not None:
            return found
    if seen is None:
        return None
    return (
        _defect(divergence, seen)
        or _unused(divergence, seen)
        or _other_calls(divergence, seen)
        or _cut(seen)
        or _missing(divergence, seen)
        or _scaled(divergence, seen)
        or _cut_or_not(divergence, seen)
    )


def _defect(divergence: Divergence, seen: View) -> Diagnosis | None:
    """A gradient of the framework's own that is not the derivative of what the call computed, or is known to differ."""
    scene = divergence.port
    call = scene.call if scene is not None else None
    if scene is None or call is None or not call.inputs or not call.outputs:
        return None
    x = seen.tensor(0, call.inputs[0])
    known = defects.of_gradient(scene, x)
    if known is not None and not known.proves:
        return Diagnosis("framework_defect", f"{known.version}: {known.what}; {known.workaround}", call.line)
    slopes = _derivative(divergence, seen, scene, call)
    if slopes is None:
        return None
    ours, theirs = slopes
    if not (ours > 1e-4 and ours > 1000 * theirs):
        return None
    said = (
        f"along a random direction the port's gradient of {plain(call.operation)} is {ours:.2g} off the differences of"
        f" what it computes, the reference's {theirs:.2g}"
    )
    if known is not None:
        said = f"{known.version}: {known.what}; {known.workaround}; {said}"
    return Diagnosis("framework_defect", said, call.line, proven=True)


def _derivative(divergence: Divergence, seen: View, scene: Scene, call: Call) -> tuple[float, float] | None:
    """How far each side's gradient of a call's input is from central differences along one direction, relative."""

    def parameter(name: str) -> np.ndarray | None:
        return (
            divergence.to_port(name.removeprefix("parameters.")) if divergence.to_port is not None else None
        )

    run = rerun(scene, call, parameter)
    given, mine = scene.gradients.get(call.outputs[0]), scene.gradients.get(call.inputs[0])
    theirs = _same_gradient(divergence, seen, call.inputs[0], mine)
    if run is None or given is None or mine is None or theirs is None or not mine.size:
        return None
    own = seen.tensor(0, call.outputs[0])
    if own is None or not error(run(), own) <= 1e-6 or given.shape != own.shape:
        return None
    direction = np.random.Generator(np.random.PCG64(20211)).standard_normal(mine.shape)
    x, step = run.tensors["x"], 1e-5
    values = []
    for sign in (1.0, -1.0):
        run.tensors["x"] = x + sign * step * direction
        made = run()
        if made is None:
            return None
        values.append(float((made * given).sum()))
    slope = (values[0] - values[1]) / (2 * step)
    size = abs(slope) or 1.0
    return tuple(abs(float((g * direction).sum()) - slope) / size for g in (mine, theirs))  # type: ignore[return-value]


def _same_gradient(
    divergence: Divergence, seen: View, name: str, mine: np.ndarray | None
) -> np.ndarray | None:
    """The reference's gradient of the tensor that agrees with the port's."""
    held = divergence.reference.gradients if divergence.reference is not None else {}
    for other in seen.same_in_reference(name):
        found = held.get(other)
        full = f"{seen.reference.prefix}/value_gradients/{other}"
        if found is None and full in seen.reference.recording and seen.reference.recording.kept(full):
            found = seen.reference.recording.get(full)
        if found is not None and mine is not None and found.size == mine.size:
            return found.reshape(mine.shape)
    return None


def frozen(divergence: Divergence) -> Diagnosis | None:
    """Parameters that one side does not train."""
    assert divergence.recordings is not None  # noqa: S101
    port, reference = divergence.recordings
    links = links_from_json(port.data["links"])
    theirs = {e["name"]: e for e in reference.data["parameters"]}
    wanted = set(divergence.facts.get("names", ())) | {divergence.place}
    for entry in port.data["parameters"]:
        if entry["name"].removeprefix("gradients/") not in {n.removeprefix("gradients/") for n in wanted}:
            continue
        for other in links.reference_names(entry["name"]):
            if entry["kind"] == theirs[other]["kind"] == "parameter" and entry.get("trainable") != theirs[
                other
            ].get("trainable"):
                word = "is trained" if entry.get("trainable") else "is not trained"
                said = f"{entry['name']} {word}, unlike in the reference"
                return Diagnosis("frozen", said, proven=True, place=entry["name"])
    return None


def _slopes(divergence: Divergence) -> Diagnosis | None:
    """Gradients that are not the derivative of the loss, as central differences show."""
    assert divergence.recordings is not None  # noqa: S101
    slopes = [side.stages.get("train", {}).get("slope") for side in divergence.recordings]
    if not all(slopes) or not (divergence.recordings[1].data.get("higher_order")):
        return None
    ours, theirs = slopes[0]["error"], slopes[1]["error"]
    calls = divergence.recordings[0].data.get("trace", {}).get("train", {}).get("calls", ())
    convolves = any(plain(call["operation"]).startswith("conv") for call in calls)
    if ours > 1e-4 and ours > 100 * theirs:
        evidence = (
            f"along the gradient the port's loss changes by {slopes[0]['differences']:.6g}, its gradient says"
            f" {slopes[0]['gradient']:.6g} ({ours:.2g} off); the reference's is {theirs:.2g} off"
        )
        if convolves and divergence.recordings[0].framework == "paddle":
            evidence += f". {defects.SECOND_ORDER}"
        return Diagnosis("first_order", evidence, proven=True)
    return None


def _other_calls(divergence: Divergence, seen: View) -> Diagnosis | None:
    """The same calls in another order, which the evaluation's figures do not show."""
    port = divergence.port.call if divergence.port is not None else None
    reference = divergence.reference.call if divergence.reference is not None else None
    if port is None or reference is None or plain(port.operation) != plain(reference.operation):
        return None
    around = [(_around(seen.port, port)), (_around(seen.reference, reference))]
    if around[0] == around[1]:
        return None
    before, after = (set(around[0][i]) ^ set(around[1][i]) for i in (0, 1))
    both = before & after
    if both:
        shown = " and ".join(sorted(both))
        return Diagnosis(
            "wrong_order", f"{shown} comes before {plain(port.operation)} on one side, after it on the other"
        )
    return None


def _unused(divergence: Divergence, seen: View) -> Diagnosis | None:
    """A parameter that the reference computes with and the port does not."""
    name = f"parameters.{divergence.place.removeprefix('gradients/')}"
    names = [
        name,
        *(f"parameters.{n.removeprefix('gradients/')}" for n in divergence.facts.get("problems", {})),
    ]
    for known in names:
        others = [o for o in seen.same_in_reference(known) if seen.reference.users.get(o)]
        if others and not seen.port.users.get(known):
            call = seen.reference.users[others[0]][0]
            shown = known.removeprefix("parameters.")
            where = f"{plain(call.operation)} ({call.line.rpartition('/')[2]})"
            return Diagnosis(
                "missing_module", f"the port does not compute with {shown}; the reference does in {where}"
            )
    return None


def _around(side: Graph, call: Call) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The operations before and after a call, those left out that only move elements."""
    before = [side.maker[root] for n in call.inputs if (root := structure.root(side, n)) in side.maker]
    after = users(side, call.outputs)
    return tuple(sorted({plain(c.operation) for c in before})), tuple(
        sorted({plain(c.operation) for c in after})
    )


def _cuts(side: Graph) -> list[Call]:
    """Calls that cut the graph, those at the end that only read an output aside."""
    made = [call for call in side.calls if plain(call.operation) in CUTS]
    return [call for call in made if any(side.users.get(n) for n in call.outputs if n not in call.inputs)]


def _cut(seen: View) -> Diagnosis | None:
    """A call that cuts the graph on one side alone."""
    ours, theirs = _cuts(seen.port), _cuts(seen.reference)
    if len(ours) == len(theirs):
        return None
    if len(ours) > len(theirs):
        line = ours[-1].line
        return Diagnosis(
            "detached", f"the port cuts the graph ({line.rpartition('/')[2]}), the reference does not", line
        )
    line = theirs[-1].line.rpartition("/")[2]
    return Diagnosis("not_detached", f"the reference cuts the graph ({line}), the port does not")


def _missing(divergence: Divergence, seen: View) -> Diagnosis | None:
    """Tensors that agree and have a gradient on one side alone: there the graph is cut."""
    problems = divergence.facts.get("problems", {})
    for name, others in seen.agrees.port.items():
        if name.startswith("parameters.") or not others:
            continue
        if seen.port.recording.dtype(f"{seen.port.prefix}/values/{name}")[:5] != "float":
            continue
        mine = seen.port.gradient(name)
        theirs = [g for g in (seen.reference.gradient(o) for o in others) if g is not None]
        made = any(n.startswith("parameters.") for o in others for n in ancestors(seen.reference, o))
        if mine is None and theirs and made and name not in seen.port.maker:
            call = next(iter(seen.port.users.get(name, ())), None)
            line = call.line if call is not None else ""
            return Diagnosis(
                "detached",
                f"{name} enters the port's graph as a constant; the reference's has a history",
                line,
            )
    if problems and any("missing" in text for text in problems.values()):
        count = sum("missing" in text for text in problems.values())
        return Diagnosis(
            "detached", f"{count} parameters have no gradient in the port, and have one in the reference"
        )
    if problems and any("extra" in text or "not in" in text for text in problems.values()):
        return Diagnosis("not_detached", "parameters have a gradient in the port, and none in the reference")
    return None


def _scaled(divergence: Divergence, seen: View) -> Diagnosis | None:
    """Gradients that are a multiple of the reference's."""
    port, reference = divergence.port, divergence.reference
    if port is None or reference is None:
        return None
    for name, mine in port.gradients.items():
        partners = seen.same_in_reference(name) or list(reference.gradients)
        for other in partners:
            theirs = reference.gradients.get(other)
            if theirs is None or theirs.shape != mine.shape or mine.size < 2:
                continue
            if not mine.any() and theirs.any():
                return Diagnosis("detached", f"the gradient of {name} is zero in the port")
            if mine.any() and not theirs.any():
                return Diagnosis("not_detached", f"the gradient of {name} is zero in the reference")
            chosen = best(h for h in elementwise(mine, theirs) if h.cause in ("scale_factor", "sign"))
            if chosen is not None:
                return chosen.diagnosis("of the gradient, ")
    return None


def _cut_or_not(divergence: Divergence, seen: View) -> Diagnosis | None:
    """More or less of the gradient arrives: by its norm, where nothing else tells."""
    edit = structure.diagnose(divergence, seen)
    if edit is not None:
        return edit
    assert divergence.recordings is not None  # noqa: S101
    port, reference = divergence.recordings
    links = links_from_json(port.data["links"])
    ratios = []
    for name in divergence.facts.get("names", ()):
        full = f"{seen.port.prefix}/gradients/{name.removeprefix('gradients/')}"
        others = [
            f"{seen.port.prefix}/gradients/{o}"
            for o in links.reference_names(name.removeprefix("gradients/"))
        ]
        if full in port and len(others) == 1 and others[0] in reference:
            norms = [float(np.linalg.norm(side.get(n))) if side.kept(n) else 0.0
                     for side, n in ((port, full), (reference, others[0]))]  # fmt: skip
            if all(norms):
                ratios.append(norms[0] / norms[1])
    if not ratios:
        return None
    ratio = float(np.median(ratios))
    word = "detached" if ratio < 1 else "not_detached"
    return Diagnosis(word, f"of the same values the port's gradients are {ratio:.3g} times the reference's: a path is "
                           f"{'cut' if ratio < 1 else 'not cut'}")  # fmt: skip
