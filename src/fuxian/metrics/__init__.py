"""Metrics that a recipe's ``metric()`` returns: each keeps what every unit contributed to its figures.

=====================  ============================================================  ==================
class                  figures                                                       units
=====================  ============================================================  ==================
``Mean``               any means over units, by name                                 what you call one
``RatioOfSums``        IoU of a whole set, mIoU, any sum over sum                    images
``Hmean``              precision, recall, hmean from ICDAR's counts                  images
``AveragePrecision``   ap, ap50, ap75, ap_small, ap_medium, ap_large (COCO)          images
``AreaUnderCurve``     auc                                                           users
``TrueAcceptRate``     tar_at_far_...                                                pairs
``FoldAccuracy``       accuracy over folds (LFW)                                     folds
``Several``            those of several metrics                                      as theirs
=====================  ============================================================  ==================

Everything here is numpy: a metric needs neither framework, and figures are the same for port and reference.
"""

from fuxian.metrics.average_precision import AveragePrecision, DetectedImage
from fuxian.metrics.collected import Several
from fuxian.metrics.fold_accuracy import FoldAccuracy
from fuxian.metrics.mean import Mean
from fuxian.metrics.ranking import AreaUnderCurve
from fuxian.metrics.ratio import Hmean, RatioOfSums
from fuxian.metrics.true_accept_rate import TrueAcceptRate
from fuxian.metrics.units import Selection, Units

__all__ = [
    "AreaUnderCurve",
    "AveragePrecision",
    "DetectedImage",
    "FoldAccuracy",
    "Hmean",
    "Mean",
    "RatioOfSums",
    "Selection",
    "Several",
    "TrueAcceptRate",
    "Units",
]
