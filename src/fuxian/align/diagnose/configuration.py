"""Why the inventories differ: parameters on one side only, ties, training switched off, settings of the recipe."""

from __future__ import annotations

from typing import Any

from fuxian.align.diagnose.evidence import best
from fuxian.align.diagnose.relations import elementwise
from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.recording import Recording

SETTINGS = {"accumulate": "accumulation", "schedule_every": "schedule_unit"}


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of a configuration that differs; the problems are those of the stage."""
    if divergence.recordings is None:
        return None
    problems: dict[str, str] = divergence.facts.get("problems", {})
    place = divergence.place
    text = problems.get(place) or next(iter(problems.values()), "")
    if place in SETTINGS:
        return Diagnosis(SETTINGS[place], f"{place} is {text}")
    if "separate from" in text:
        return Diagnosis("untied_weights", f"{place} is {text}")
    if "tied to" in text:
        return Diagnosis("tied_weights", f"{place} is {text}")
    if "is not trained" in text or "is trained" in text:
        return Diagnosis("frozen", f"{place} {text}")
    if "in the port, and not" in text or "in the reference, and not" in text:
        return _inventory(divergence.recordings, place, text, problems)
    if "instead of" in text and place in divergence.recordings[1].data["parts"]:
        return Diagnosis("flags", f"{place}: {text}")
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
        return Diagnosis(chosen.cause, f"of the buffer {name}, {chosen.sentence}")
    share = float((mine != theirs).mean())
    return Diagnosis(
        "init_constant", f"{share:.0%} of the elements of the buffer {name} start from other values"
    )


def _inventory(
    recordings: tuple[Recording, Recording], place: str, text: str, problems: dict[str, str]
) -> Diagnosis:
    extra = "in the port, and not" in text
    side = recordings[0] if extra else recordings[1]
    module, _, leaf = place.rpartition(".")
    kinds: dict[str, Any] = {m["path"]: m["class"].rpartition(".")[2] for m in side.data["modules"]}
    kind = kinds.get(module, "")
    shown = f"{place} is {text}"
    shapes = [{e["name"]: e["shape"] for e in r.data["parameters"]} for r in recordings]
    left = [[n for n, t in problems.items() if f"in the {w}, and" in t] for w in ("port", "reference")]
    for mine in left[0]:
        for other in left[1]:
            same = mine.rpartition(".")[0] == other.rpartition(".")[0] and mine[-4:] == other[-4:]
            if same and place in (mine, other) and shapes[0].get(mine) != shapes[1].get(other):
                words = f"{mine} has the shape {shapes[0].get(mine)} in place of {shapes[1].get(other)}"
                return Diagnosis("shape", words)
    if leaf in ("bias", "_bias") and not kind.lower().endswith(("norm", "norm1d", "norm2d", "norm3d")):
        return Diagnosis("missing_bias", shown)
    if "norm" in kind.lower() and leaf in ("weight", "bias", "scale") and _kept(recordings, module):
        return Diagnosis("missing_affine", shown)
    return Diagnosis("extra_parameter" if extra else "missing_parameter", shown)


def _kept(recordings: tuple[Recording, Recording], module: str) -> bool:
    """Whether both sides have the module itself."""
    return all(any(m["path"] == module for m in side.data["modules"]) for side in recordings)
