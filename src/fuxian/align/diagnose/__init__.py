"""Names the cause of a first divergence.

Each module here knows one kind of divergence. It tries general hypotheses against the recorded tensors, keeps those
that reproduce the reference, and names the one with the best evidence. Neither framework is imported.
"""

from __future__ import annotations

from collections.abc import Callable

from fuxian.align.diagnose import (
    calls,
    configuration,
    data,
    gradients,
    metrics,
    schedules,
    script,
    statistics,
    updates,
)
from fuxian.align.divergence import Diagnosis, Divergence

__all__ = ["diagnose"]

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
    "training_mode": calls.diagnose,
    "training_steps": updates.steps,
    "higher_order": gradients.diagnose,
}


def diagnose(divergence: Divergence) -> Diagnosis:
    """The cause of a divergence, with its evidence; ``unknown`` with a reproducer where no hypothesis fits."""
    if divergence.kind == "error":
        found: Diagnosis | None = calls.failure(divergence)
    else:
        found = BY_STAGE[divergence.stage](divergence)
    if found is None:
        evidence = "no hypothesis reproduces the reference"
        return Diagnosis("unknown", evidence, _line(divergence), script.reproducer(divergence))
    if found.line:
        return found
    return Diagnosis(found.cause, found.evidence, _line(divergence), found.script)


def _line(divergence: Divergence) -> str:
    return divergence.port.line if divergence.port is not None else str(divergence.facts.get("line", ""))
