"""Average precision of detections as COCO computes it, by pycocotools."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuxian.errors import InputError
from fuxian.metrics.collected import Collected
from fuxian.metrics.units import Figure, Units, finite, need, need_truth_values, need_unit_numbers

KIND = "average precision"
FIGURES: dict[str, dict[str, Any]] = {
    "ap": {"iou": "0.5:0.95", "area": "all"},
    "ap50": {"iou": "0.5", "area": "all"},
    "ap75": {"iou": "0.75", "area": "all"},
    "ap_small": {"iou": "0.5:0.95", "area": "small"},
    "ap_medium": {"iou": "0.5:0.95", "area": "medium"},
    "ap_large": {"iou": "0.5:0.95", "area": "large"},
}
MOST = 100
"""Detections of an image that count, the highest scores first."""


@dataclass(frozen=True)
class DetectedImage:
    """What was found in one image, D boxes, and what is in it, G boxes. Boxes are COCO's [x, y, width, height]."""

    boxes: Any
    """[D, 4]"""
    scores: Any
    """[D]"""
    classes: Any
    """[D] integers"""
    true_boxes: Any
    """[G, 4]"""
    true_classes: Any
    """[G] integers"""
    crowd: Any = None
    """[G] COCO's iscrowd; none by default."""
    areas: Any = None
    """[G] pixels of the object, COCO's area; those of the box by default. They sort small, medium and large."""


class AveragePrecision(Collected):
    """``contribution(outputs, targets, meta)`` returns a ``DetectedImage`` for each image of the batch.

    Figures: ``ap`` (mean over IoU 0.50 to 0.95 and classes), ``ap50``, ``ap75``, ``ap_small``, ``ap_medium`` and
    ``ap_large``, all with 100 detections an image; NaN where no object is of that size. The units are the images.
    """

    def __init__(self, contribution: Callable[[Any, Any, Any], Iterable[DetectedImage]]) -> None:
        super().__init__(lambda outputs, targets, meta: list(contribution(outputs, targets, meta)))

    def of_batches(self, batches: list[list[DetectedImage]]) -> dict[str, Units]:
        images = [image for batch in batches for image in batch]
        arrays: dict[str, list[np.ndarray]] = {name: [] for name in SHAPES}
        for number, image in enumerate(images):
            boxes, true_boxes = (
                np.asarray(b, np.float64).reshape(-1, 4) for b in (image.boxes, image.true_boxes)
            )
            crowd = np.zeros(len(true_boxes)) if image.crowd is None else image.crowd
            areas = true_boxes[:, 2] * true_boxes[:, 3] if image.areas is None else image.areas
            for name, rows in (
                ("detection_unit", np.full(len(boxes), number)),
                ("detection_box", boxes),
                ("detection_score", image.scores),
                ("detection_class", image.classes),
                ("truth_unit", np.full(len(true_boxes), number)),
                ("truth_box", true_boxes),
                ("truth_class", image.true_classes),
                ("truth_crowd", crowd),
                ("truth_area", areas),
            ):
                arrays[name].append(np.asarray(rows, _type(name)))
        joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
        return {name: Units(KIND, len(images), joined, settings) for name, settings in FIGURES.items()}


SHAPES: dict[str, tuple[int | str, ...]] = {
    "detection_unit": ("D",),
    "detection_box": ("D", 4),
    "detection_score": ("D",),
    "detection_class": ("D",),
    "truth_unit": ("G",),
    "truth_box": ("G", 4),
    "truth_class": ("G",),
    "truth_crowd": ("G",),
    "truth_area": ("G",),
}


def _type(name: str) -> type:
    part = name.split("_")[1]
    return np.float64 if part in ("box", "score", "area") else np.int8 if part == "crowd" else np.int64


def check(units: Units) -> None:
    need(units, SHAPES)
    for name in ("detection_unit", "truth_unit"):
        need_unit_numbers(units, name)
    for name in ("detection_class", "truth_class"):
        if units.arrays[name].dtype.kind not in "iu":
            raise InputError(f"{KIND}: the array {name!r} must hold whole numbers.")
    need_truth_values(units, "truth_crowd")
    if dict(units.settings) not in FIGURES.values():
        raise InputError(f"{KIND}: the settings are none of {', '.join(FIGURES)}.")


def prepare(units: Units) -> Figure:
    if not finite(units, "detection_box", "detection_score", "truth_box", "truth_area"):
        return lambda chosen: np.nan
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        evaluation = _matched(units)
    images = units.n
    matched = np.empty(len(evaluation.evalImgs), dtype=object)
    matched[:] = evaluation.evalImgs
    by_class = matched.reshape(-1, images)

    def figure(chosen: np.ndarray) -> float:
        # The official accumulation, over images that may stand twice: it takes them by their place.
        chosen_images = list(range(len(chosen)))
        evaluation.params.imgIds = evaluation._paramsEval.imgIds = chosen_images
        evaluation.evalImgs = by_class[:, chosen].reshape(-1).tolist()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            evaluation.accumulate()
        precision = evaluation.eval["precision"]
        seen = precision[precision > -1]
        return float(np.mean(seen)) if seen.size else np.nan

    return figure


def _matched(units: Units) -> Any:
    """A COCOeval in which the detections of every image are matched, for the IoUs and areas of the settings."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    a = units.arrays
    classes = np.unique(a["truth_class"]).tolist()

    def coco(annotations: list[dict[str, Any]]) -> Any:
        made = COCO()
        made.dataset = {
            "images": [{"id": number} for number in range(units.n)],
            "categories": [{"id": kind} for kind in classes],
            "annotations": annotations,
        }
        made.createIndex()
        return made

    # Ids from 1: pycocotools takes a match with the id 0 for none.
    truth = [
        {"id": i, "image_id": image, "category_id": kind, "bbox": box, "area": area, "iscrowd": crowd}
        for i, (image, kind, box, area, crowd) in enumerate(
            zip(
                *(a[f"truth_{part}"].tolist() for part in ("unit", "class", "box", "area", "crowd")),
                strict=True,
            ),
            start=1,
        )
    ]
    found = [
        {
            "id": i,
            "image_id": image,
            "category_id": kind,
            "bbox": box,
            "score": score,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i, (image, kind, box, score) in enumerate(
            zip(
                *(a[f"detection_{part}"].tolist() for part in ("unit", "class", "box", "score")), strict=True
            ),
            start=1,
        )
    ]
    evaluation = COCOeval(coco(truth), coco(found), "bbox")
    params = evaluation.params
    wanted = units.settings
    if wanted["iou"] != "0.5:0.95":
        params.iouThrs = np.array([float(wanted["iou"])])
    kept = params.areaRngLbl.index(wanted["area"])
    params.areaRng, params.areaRngLbl = [params.areaRng[kept]], [wanted["area"]]
    params.maxDets = [MOST]
    evaluation.evaluate()
    return evaluation
