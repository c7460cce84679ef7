"""The kinds of figure that Fuxian recomputes from what units contributed, by name."""

from __future__ import annotations

from fuxian.metrics import average_precision, fold_accuracy, mean, ranking, ratio, true_accept_rate
from fuxian.metrics.units import Kind

KINDS: dict[str, Kind] = {
    mean.KIND: Kind(mean.check, mean.prepare),
    ratio.KIND: Kind(ratio.check, ratio.prepare),
    average_precision.KIND: Kind(average_precision.check, average_precision.prepare),
    ranking.KIND: Kind(ranking.check, ranking.prepare),
    true_accept_rate.KIND: Kind(true_accept_rate.check, true_accept_rate.prepare),
    fold_accuracy.KIND: Kind(fold_accuracy.check, fold_accuracy.prepare),
}
