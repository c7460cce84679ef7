"""The area under the ROC curve over all rows, with users (queries, sessions) as the units."""

from __future__ import annotations

import numpy as np

from fuxian.metrics.collected import Collected, columns, numbered
from fuxian.metrics.units import Figure, Units, finite, need, need_truth_values, need_unit_numbers

KIND = "area under the curve"


class AreaUnderCurve(Collected):
    """``contribution(outputs, targets, meta)`` returns (user, score, label), each [B]; the figure is ``auc``.

    It is the area over all rows together, as click-rate papers print it, not a mean of users' areas. ``user`` are
    integers or strings: the rows of one user stand or fall together. Labels are 0 and 1.
    """

    def of_batches(self, batches: list[tuple]) -> dict[str, Units]:
        unit, n = numbered([batch[0] for batch in batches])
        score, label = columns([batch[1:] for batch in batches], (np.float64, np.int8))
        return {"auc": Units(KIND, n, {"unit": unit, "score": score, "label": label})}


def check(units: Units) -> None:
    need(units, {"unit": ("R",), "score": ("R",), "label": ("R",)})
    need_unit_numbers(units, "unit")
    need_truth_values(units, "label")


def prepare(units: Units) -> Figure:
    from sklearn.metrics import roc_auc_score

    unit, score, label = (units.arrays[name] for name in ("unit", "score", "label"))
    if not finite(units, "score"):
        return lambda chosen: np.nan

    def figure(chosen: np.ndarray) -> float:
        times = np.bincount(chosen, minlength=units.n)[unit]
        rows = times > 0
        if len(np.unique(label[rows])) < 2:
            return np.nan
        return float(roc_auc_score(label[rows], score[rows], sample_weight=times[rows]))

    return figure
