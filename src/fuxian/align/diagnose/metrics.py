"""Why a metric's figure differs: it is computed from the same outputs, so its definition is another one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fuxian.align.divergence import Diagnosis, Divergence


def diagnose(divergence: Divergence) -> Diagnosis | None:
    """The cause of another figure of the same outputs and targets."""
    if divergence.recordings is None:
        return None
    figures = [side.stages.get("metric", {}).get("figures", {}) for side in divergence.recordings]
    name = divergence.place
    ours, theirs = (side.get(name) for side in figures)
    if ours is None or theirs is None:
        missing = "port" if ours is None else "reference"
        return Diagnosis("metric_form", f"the {missing} has no figure {name!r}")
    # A recording holds NaN as a word.
    ours, theirs = float(ours), float(theirs)
    fitting = [
        words for words, factor in _factors() if np.isclose(ours * factor, theirs, rtol=1e-6, atol=1e-12)
    ]
    reason = f": {fitting[0]}" if fitting else ", of the same outputs and targets"
    return Diagnosis("metric_form", f"the port's {name} is {ours:.6g}, the reference's {theirs:.6g}{reason}")


def _factors() -> Iterator[tuple[str, float]]:
    yield from (("a share, not a percentage, or the reverse", factor) for factor in (100.0, 0.01))
    yield "the sign is another", -1.0
