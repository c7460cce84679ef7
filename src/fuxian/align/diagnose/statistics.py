"""Why initial values differ: constants, distributions and their scales, from sorted samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fuxian.align.divergence import Diagnosis, Divergence
from fuxian.align.mapping import links_from_json

FAMILIES = {"uniform": math.sqrt(3.0), "normal": math.inf, "truncated normal": 2.27}
"""Families told apart by how many deviations their largest element lies from the mean."""


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of other initial values of one parameter."""
    if divergence.recordings is None:
        return None
    port, reference = divergence.recordings
    links = links_from_json(port.data["links"])
    names = [divergence.place, *divergence.facts.get("names", [])]
    name = next((n for n in names if f"initial/{n}" in port), None)
    if name is None:
        return None
    theirs = [f"initial/{other}" for other in links.reference_names(name) if f"initial/{other}" in reference]
    if not theirs:
        return None
    one = port.get(f"initial/{name}").astype(np.float64)
    two = np.concatenate([reference.get(n) for n in theirs]).astype(np.float64)
    shape = next(
        tuple(e["shape"]) for e in reference.data["parameters"] if f"initial/{e['name']}" == theirs[0]
    )
    return compare(name, one, two, shape)


def compare(name: str, one: np.ndarray, two: np.ndarray, shape: Sequence[int]) -> Diagnosis | None:
    """The cause for the port's sample ``one`` and the reference's ``two`` of a parameter of ``shape``."""
    if not one.size or not two.size:
        return None
    constants = [np.ptp(sample) == 0 for sample in (one, two)]
    if all(constants):
        return Diagnosis(
            "init_constant", f"{name} starts at {one[0]:.6g} in place of {two[0]:.6g}", proven=True
        )
    if any(constants):
        words = [f"at {s[0]:.6g}" if c else f"at random (deviation {s.std():.4g})"
                 for s, c in zip((one, two), constants, strict=True)]  # fmt: skip
        cause = "init_constant" if _few(one) and _few(two) else "init_distribution"
        return Diagnosis(cause, f"{name} starts {words[0]} in place of {words[1]}")
    if _few(one) or _few(two):
        return Diagnosis("init_constant", f"{name} starts from other constants")
    deviations = one.std(), two.std()
    families = _family(one), _family(two)
    ratio = float(deviations[0] / deviations[1])
    if families[0] != families[1]:
        shown = (
            f"{families[0]} (deviation {deviations[0]:.4g}) in place of {families[1]} ({deviations[1]:.4g})"
        )
        return Diagnosis("init_distribution", f"{name} is {shown}")
    if abs(ratio - 1) > 0.02:
        return Diagnosis(
            "init_scale", f"{name}'s deviation is {ratio:.4g} times the reference's{_why(ratio, shape)}"
        )
    if abs(one.mean() - two.mean()) > 0.05 * deviations[1]:
        return Diagnosis("init_constant", f"{name}'s mean is {one.mean():.4g} in place of {two.mean():.4g}")
    return Diagnosis("init_distribution", f"{name}'s deviation agrees, the form of its distribution does not")


def _few(sample: np.ndarray) -> bool:
    """Whether a sample takes a few values only: constants by part, not draws."""
    return bool(np.unique(sample).size <= max(2, sample.size // 50))


def _family(sample: np.ndarray) -> str:
    """By kurtosis, and by the furthest element."""
    deviation = sample.std()
    centred = (sample - sample.mean()) / deviation
    kurtosis = float((centred**4).mean())
    if kurtosis < 2.1:
        return "uniform"
    if sample.size >= 1000 and np.abs(centred).max() < 2.4:
        return "truncated normal"
    return "normal" if kurtosis < 4 else "heavy-tailed"


def _why(ratio: float, shape: Sequence[int]) -> str:
    """What a ratio of deviations may come from, in words."""
    if len(shape) < 2:
        return ""
    inner = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * inner, shape[0] * inner
    known = {
        "fan out in place of fan in": math.sqrt(fan_in / fan_out),
        "fan in in place of fan out": math.sqrt(fan_out / fan_in),
        "no gain of sqrt(2)": math.sqrt(0.5),
        "a gain of sqrt(2)": math.sqrt(2.0),
        "a gain of sqrt(3), or another slope": math.sqrt(3.0),
        "no gain of sqrt(3)": math.sqrt(1 / 3),
        "both fans in place of fan in": math.sqrt(2 * fan_in / (fan_in + fan_out)),
        "Xavier in place of 1/sqrt(fan in)": math.sqrt(6 * fan_in / (fan_in + fan_out)),
    }
    near = [
        words for words, value in known.items() if abs(value / ratio - 1) < 0.03 and abs(value - 1) > 0.02
    ]
    return f"; {near[0]} would make it {known[near[0]]:.4g}" if near else ""
