"""Names the cause of a first divergence."""

from fuxian.align.divergence import Diagnosis, Divergence


def diagnose(divergence: Divergence) -> Diagnosis:
    return Diagnosis("unknown", "no hypothesis reproduces the reference")
