"""From the network's outputs to detections: the best scores, boxes in the picture's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuxian.papers.sparse_rcnn.boxes import clipped


@dataclass(frozen=True, eq=False)
class Detections:
    """D detections of a picture, the highest scores first."""

    boxes: np.ndarray
    """Corners [D, 4] in pixels"""
    scores: np.ndarray
    """[D]"""
    classes: np.ndarray
    """int64 [D]"""


def detections(logits_PC: np.ndarray, boxes_P4: np.ndarray, seen: np.ndarray, size: np.ndarray) -> Detections:
    """The P highest of all P C scores with their boxes; a proposal may stand for two classes, nothing is suppressed.

    ``seen``: height and width of the picture as the network saw it, ``size``: as it is. Boxes end at its edges; those
    that lie outside are left out.
    """
    count, classes = logits_PC.shape
    flat = logits_PC.reshape(-1).astype(np.float64)
    best = np.argsort(-flat, kind="stable")[:count]
    scale = np.asarray(size, np.float64) / np.asarray(seen, np.float64)
    corners = boxes_P4[best // classes].astype(np.float64) * scale[[1, 0, 1, 0]]
    corners = clipped(corners, float(size[0]), float(size[1]))
    # Written so that boxes that are no numbers stay: the figure of such a network is none either.
    inside = ~((corners[:, 2:] <= corners[:, :2]).any(1))
    with np.errstate(over="ignore"):
        scores = 1 / (1 + np.exp(-flat[best]))
    return Detections(corners[inside], scores[inside], (best % classes)[inside])
