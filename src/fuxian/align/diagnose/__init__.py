"""Names the cause of a first divergence.

Each module here knows one kind of divergence. It tries general hypotheses against the recorded tensors, keeps those
that reproduce the reference, and names the one with the best evidence. Neither framework is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuxian.align.diagnose import (
    calls,
    configuration,
    constructor,
    data,
    gradients,
    metrics,
    proofs,
    schedules,
    script,
    statistics,
    updates,
)
from fuxian.align.diagnose.settings import CAUSES, LAYER
from fuxian.align.divergence import Diagnosis, Divergence

__all__ = ["diagnose"]


def _training(divergence: Divergence) -> Diagnosis | None:
    names = divergence.facts.get("names", [])
    if names and all(name.startswith("gradients/") for name in names):
        return calls.first_proven([gradients.diagnose(divergence), calls.diagnose(divergence)])
    return calls.diagnose(divergence)


BY_STAGE: dict[str, Callable[[Divergence], Diagnosis | None]] = {
    "configuration": configuration.diagnose,
    "initialisation": statistics.diagnose,
    "eval_data": data.diagnose,
    "train_data": data.diagnose,
    "forward": calls.diagnose,
    "metric": metrics.diagnose,
    "loss": calls.diagnose,
    "backward": gradients.diagnose,
    "optimizer": updates.diagnose,
    "learning_rate": schedules.diagnose,
    "regularisation": updates.diagnose,
    "training_mode": _training,
    "training_steps": updates.steps,
    "higher_order": gradients.diagnose,
}

OF_LAYERS = {*CAUSES.values(), "padding_mode", "interpolation_mode", "missing_bias", "missing_affine"}
"""Causes that are mended where the layer is made."""


def diagnose(divergence: Divergence) -> Diagnosis:
    """The cause of a divergence, with its evidence; ``unknown`` with a reproducer where no hypothesis fits."""
    found = None if divergence.kind == "error" else BY_STAGE[divergence.stage](divergence)
    if "message" in divergence.facts:
        raised = calls.failure(divergence)
        found = raised if found is None else replace(found, evidence=f"{found.evidence}; {raised.evidence}")
    if found is not None and not found.proven and proofs.shown(divergence, found):
        found = replace(found, proven=True)
    if found is None:
        evidence = "no hypothesis reproduces the reference"
        return Diagnosis("unknown", evidence, _line(divergence), script.reproducer(divergence))
    line = _made(divergence) if found.cause in OF_LAYERS else ""
    line = line or found.line or _line(divergence)
    return replace(found, line=line)


def _made(divergence: Divergence) -> str:
    """The line that makes the framework's own layer at the place."""
    scene = divergence.port
    if scene is None or scene.call is None or scene.call.path != scene.path:
        return ""
    layer = scene.module.startswith(LAYER) and scene.path
    return constructor.line(scene.line, scene.path) if layer else ""


def _line(divergence: Divergence) -> str:
    return divergence.port.line if divergence.port is not None else str(divergence.facts.get("line", ""))
