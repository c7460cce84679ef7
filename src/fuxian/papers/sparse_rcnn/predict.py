"""Finds objects in a user's pictures, draws their boxes, and writes COCO's results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import paddle

from fuxian.papers.contract import Prediction
from fuxian.papers.sparse_rcnn.boxes import to_coco
from fuxian.papers.sparse_rcnn.classes import CLASSES, Kind
from fuxian.papers.sparse_rcnn.data import normalised, padded, scaled
from fuxian.papers.sparse_rcnn.detect import Detections, detections
from fuxian.papers.sparse_rcnn.model import SparseRCNN
from fuxian.papers.sparse_rcnn.settings import SETTINGS, Setting
from fuxian.papers.user_files import listed_pictures, read_picture
from fuxian.training.checkpoints import load_into

PATH = "A picture (PNG, JPEG, BMP) or a folder of pictures in which objects are to be found."
RESULTS = "detections.json"


def predict(
    claim: str,
    path: Path,
    weights: Path,
    out: Path,
    *,
    threshold: Annotated[float, "Least score of a box that is drawn and listed."] = 0.3,
) -> Prediction:
    """Writes ``<name>.png`` with the boxes drawn for each picture, and ``detections.json`` for all: COCO's results with
    all scores, as pycocotools loads them, the pictures numbered from 1 in the order of the rows.

    ``<name>`` is the picture's with its ending, so that ``a.png`` and ``a.jpg`` do not meet.
    """
    setting = SETTINGS[claim]
    model = SparseRCNN(setting.network)
    load_into(model, weights)
    model.eval()
    kinds = CLASSES[setting.data]
    rows, views, results = [], [], []
    for number, file in enumerate(listed_pictures(path), start=1):
        picture = np.asarray(read_picture(file).convert("RGB"))
        found = find_objects(model, picture, setting)
        corners = to_coco(found.boxes).round(2).tolist()
        for box, score, kind in zip(corners, found.scores.tolist(), found.classes, strict=True):
            results.append(
                {"image_id": number, "category_id": kinds[kind].id, "bbox": box, "score": round(score, 5)}
            )
        shown = np.flatnonzero(found.scores >= threshold)
        views.append(out / f"{file.name}.png")
        cv2.imwrite(str(views[-1]), drawn(picture, found, shown, kinds)[..., ::-1])
        rows.append(
            {
                "picture": file.name,
                "boxes": [corners[place] for place in shown],
                "classes": [kinds[found.classes[place]].name for place in shown],
                "scores": [round(float(found.scores[place]), 4) for place in shown],
            }
        )
    (out / RESULTS).write_text(json.dumps(results) + "\n", encoding="utf-8")
    about = {"threshold": threshold, "boxes": "x, y, width, height in pixels", "results": RESULTS}
    return Prediction(rows=rows, views=views, about=about)


def find_objects(model: SparseRCNN, picture: np.ndarray, setting: Setting) -> Detections:
    """What is in a picture, uint8 [H, W, 3] RGB, in its own pixels."""
    inputs, sizes = padded([normalised(scaled(picture, setting.test_side, setting.longest))])
    with paddle.no_grad():
        logits, boxes = model(paddle.to_tensor(inputs), paddle.to_tensor(sizes))
    return detections(logits[-1, 0].numpy(), boxes[-1, 0].numpy(), sizes[0], np.array(picture.shape[:2]))


def drawn(picture: np.ndarray, found: Detections, shown: np.ndarray, kinds: tuple[Kind, ...]) -> np.ndarray:
    """A copy of the picture with the boxes ``shown`` and their classes on it, the highest score on top."""
    copy = np.ascontiguousarray(picture).copy()
    width = max(1, min(picture.shape[:2]) // 240)
    for place in shown[::-1]:
        kind = int(found.classes[place])
        colour = colour_of(kind)
        x1, y1, x2, y2 = (int(side) for side in found.boxes[place].round())
        cv2.rectangle(copy, (x1, y1), (x2, y2), colour, width)
        words = f"{kinds[kind].name} {found.scores[place]:.2f}"
        cv2.putText(
            copy, words, (x1 + 2, max(y1 - 3, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA
        )
    return copy


def colour_of(kind: int) -> tuple[int, int, int]:
    """RGB, far apart for classes that follow one another."""
    hue = np.array([[[int(kind * 111.25) % 180, 220, 230]]], np.uint8)
    red, green, blue = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue
