"""Pictures of noise with up to three boxes, filled (class 0) or frames (class 1); some have none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIDE, CELL, CLASSES = 32, 4, 2
STREAMS = {"validation": 1_000_001, "test": 1_000_002}


class Boxes(Sequence):
    """Batches: inputs (pictures [size, 3, SIDE, SIDE] float32,), targets (boxes, classes), both ragged lists of one
    array a picture: boxes [n, 4] as x, y, width, height in pixels, classes [n]."""

    def __init__(self, batches: int, size: int, stream: int):
        self.batches, self.size, self.stream = batches, size, stream

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < self.batches:
            raise IndexError(index)
        random = np.random.default_rng((self.stream, index))
        pictures, boxes, classes = zip(*(picture(random) for _ in range(self.size)), strict=True)
        return {"inputs": (np.stack(pictures),), "targets": (list(boxes), list(classes))}


def picture(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    canvas = 0.2 * random.standard_normal((3, SIDE, SIDE))
    boxes, classes, taken = [], [], np.zeros((SIDE, SIDE), bool)
    for _ in range(random.integers(0, 4)):
        width, height = random.integers(7, 14, 2)
        x, y = random.integers(0, SIDE - width), random.integers(0, SIDE - height)
        if taken[y : y + height, x : x + width].any():
            continue
        taken[y : y + height, x : x + width] = True
        kind = random.integers(CLASSES)
        canvas[:, y : y + height, x : x + width] += 1
        if kind:
            canvas[:, y + 2 : y + height - 2, x + 2 : x + width - 2] -= 1
        boxes.append((x, y, width, height))
        classes.append(kind)
    return (
        canvas.astype(np.float32),
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(classes, np.int64),
    )


def train_data(batches: int, seed: int) -> Boxes:
    return Boxes(batches, 16, seed)


def test_data(split: str) -> Boxes:
    return Boxes(10, 20, STREAMS[split])


def at_cells(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of the cells that hold the boxes' centres, and the boxes as the network states them."""
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    cell = (centre // CELL).astype(np.int64)
    stated = np.concatenate([centre / CELL - cell - 0.5, np.log(boxes[:, 2:] / 10)], 1)
    return cell[:, 1], cell[:, 0], stated.astype(np.float32)


def assigned(boxes: list, classes: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For all cells [B, 1, 8, 8] whether a box is centred there, its class's map [B, CLASSES, 8, 8] and its stated
    form [B, 4, 8, 8]."""
    cells = SIDE // CELL
    scores = np.zeros((len(boxes), CLASSES, cells, cells), np.float32)
    stated = np.zeros((len(boxes), 4, cells, cells), np.float32)
    for number, (some, kinds) in enumerate(zip(boxes, classes, strict=True)):
        rows, columns, form = at_cells(np.asarray(some))
        scores[number, np.asarray(kinds), rows, columns] = 1
        stated[number, :, rows, columns] = form
    return scores.max(1, keepdims=True), scores, stated
