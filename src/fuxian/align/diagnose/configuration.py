"""Why the inventories differ: parameters on one side only, ties, training switched off, settings of the recipe."""

from __future__ import annotations

from fuxian.align.diagnose.relations import elementwise
from fuxian.align.diagnose.tried import best
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.locate import CORRESPOND

SETTINGS = {"accumulate": "accumulation", "schedule_every": "schedule_unit"}


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of a configuration that differs; the problems are those of the stage."""
    if divergence.recordings is None:
        return None
    if divergence.kind == "inventory":
        return _inventory(divergence)
    problems: dict[str, str] = divergence.facts.get("problems", {})
    place = divergence.place
    text = problems.get(place) or next(iter(problems.values()), "")
    if place in SETTINGS:
        return Diagnosis(SETTINGS[place], f"{place} is {text}", proven=True)
    if "separate from" in text:
        return Diagnosis("untied_weights", f"{place} is {text}", proven=True)
    if "tied to" in text:
        return Diagnosis("tied_weights", f"{place} is {text}", proven=True)
    if "is not trained" in text or "is trained" in text:
        return Diagnosis("frozen", f"{place} {text}", proven=True)
    if "instead of" in text and place in divergence.recordings[1].data["parts"]:
        return Diagnosis("flags", f"{place}: {text}", proven=True)
    return _values(divergence, place)


def _values(divergence: Divergence, name: str) -> Diagnosis | None:
    """A buffer that starts from other values: another order, offset or factor of them, or other constants."""
    assert divergence.recordings is not None  # noqa: S101
    port = divergence.recordings[0]
    full = f"initial_buffers/{name}"
    if full not in port or not port.kept(full) or divergence.to_port is None:
        return None
    mine, theirs = port.get(full), divergence.to_port(name)
    if theirs is None or mine.shape != theirs.shape:
        return None
    chosen = best(h for h in elementwise(mine, theirs) if h.cause != "precision")
    if chosen is not None:
        return chosen.diagnosis(f"of the buffer {name}, ")
    share = float((mine != theirs).mean())
    return Diagnosis(
        "init_constant", f"{share:.0%} of the elements of the buffer {name} start from other values"
    )


STATISTICS = {"_mean", "_variance", "running_mean", "running_var"}
WRAPPERS = {
    "spectral_norm": {
        "weight_orig",
        "weight_u",
        "weight_v",
        "_weight_u",
        "_weight_v",
        "original",
        "_u",
        "_v",
    },
    "weight_norm": {"weight_g", "weight_v", "original0", "original1"},
}
"""What a wrapper of a layer's weight keeps in the weight's place."""


def _inventory(divergence: Divergence) -> Diagnosis:
    """Parameters and buffers of one module that have no counterpart."""
    assert divergence.recordings is not None  # noqa: S101
    unmatched: list[tuple[str, str]] = divergence.facts["unmatched"]
    shapes = [{e["name"]: tuple(e["shape"]) for e in r.data["parameters"]} for r in divergence.recordings]
    holder = unmatched[0][1].rpartition(".")[0]
    here = [(side, name) for side, name in unmatched if _held_by(name, {holder, divergence.place})]
    ours, theirs = ([name for side, name in here if side == which] for which in ("port", "reference"))
    resized = [(a, b) for a in ours for b in theirs if _leaf(a) == _leaf(b)]
    told = [CORRESPOND.match(text) for text in divergence.recordings[0].data["links"]["problems"]]
    resized += [(m[1], m[2]) for m in told if m is not None and m[1].rpartition(".")[0] == divergence.place]
    resized = [pair for pair in resized if pair[0] in shapes[0] and pair[1] in shapes[1]]
    resized.sort(key=lambda pair: -len(shapes[0][pair[0]]))
    more = f"; {len(unmatched) - len(here)} more elsewhere" if len(unmatched) > len(here) else ""
    leaves = {name.rpartition(".")[2] for _, name in here}
    shown = _listed(ours, theirs) + more
    trained = {e["name"] for r in divergence.recordings for e in r.data["parameters"] if e["trainable"]}
    wrapper = next((word for word, names in WRAPPERS.items() if len(leaves & names) > 1), None)
    if resized:
        mine, other = resized[0]
        words = f"{mine} has the shape {list(shapes[0][mine])} in place of {list(shapes[1][other])}{more}"
        cause = "normalised_axes" if mine.endswith(("weight_g", "original0")) else "shape"
        return Diagnosis(cause, words, proven=True)
    if wrapper is not None and len({which for which, _ in here}) == 2:
        marks = {name.rpartition(".")[2] for name in theirs} & WRAPPERS[wrapper]
        who, cause = ("reference", "missing_module") if len(marks) > 1 else ("port", "extra_module")
        return Diagnosis(cause, f"only the {who} has {wrapper} here: {shown}", proven=True)
    kinds = [
        {m["path"]: m["class"].rpartition(".")[2].lower() for m in r.data["modules"]}.get(path)
        for r, path in zip(divergence.recordings, (divergence.place, divergence.reference_place), strict=True)
    ]
    norm = any("norm" in kind for kind in kinds if kind is not None)
    on_both = None not in kinds
    if leaves <= STATISTICS:
        return Diagnosis(
            "bn_statistics", f"only one side keeps running statistics here: {shown}", proven=True
        )
    if not (ours and theirs) and norm and on_both and not leaves & STATISTICS:
        shown += "" if trained & {name for _, name in here} else "; nothing trains them"
        return Diagnosis("missing_affine", shown, proven=True)
    if not (ours and theirs) and leaves <= {"bias", "_bias"} and not norm:
        return Diagnosis("missing_bias", shown, proven=True)
    return Diagnosis("extra_parameter" if ours else "missing_parameter", shown, proven=True)


def _leaf(name: str) -> str:
    """A tensor's own name, the same for both frameworks."""
    return name.rpartition(".")[2].lstrip("_")


def _held_by(name: str, paths: set[str]) -> bool:
    return name.rpartition(".")[0] in paths


def _listed(ours: list[str], theirs: list[str]) -> str:
    parts = [
        f"{', '.join(names[:6])}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"
        f" {'is' if len(names) == 1 else 'are'} in the {one}, and not in the {other}"
        for names, one, other in ((ours, "port", "reference"), (theirs, "reference", "port"))
        if names
    ]
    return "; ".join(parts)
