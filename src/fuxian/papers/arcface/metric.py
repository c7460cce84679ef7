"""What verification is measured by."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuxian.metrics import FoldAccuracy, Several, TrueAcceptRate

FARS = (0.1, 0.01, 0.001)


def metric() -> Several:
    """LFW's accuracy over folds, and the share of matched pairs accepted at a share of mismatched ones."""

    def scored(score: np.ndarray, targets: tuple, meta: Any) -> tuple:
        return score, *targets

    def rated(score: np.ndarray, targets: tuple, meta: Any) -> tuple:
        return score, targets[0]

    return Several(FoldAccuracy(scored), TrueAcceptRate(rated, FARS))
